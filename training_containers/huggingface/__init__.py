"""The huggingface image: text, language, image and diffusion models with PyTorch, on GPU or CPU."""
