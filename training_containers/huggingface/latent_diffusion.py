"""The parts of Stable Diffusion as they are trained: images to codes and back, and the removal of noise from codes."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, DDPMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from PIL import Image, ImageOps
from torch import nn
from torch.nn import functional
from transformers import CLIPTextConfig, CLIPTextModel, PreTrainedTokenizerBase

# How much the codes are pulled towards a normal distribution: hardly, they must above all tell images apart.
KL_WEIGHT = 1e-6
# Noise levels at which held-out images are measured, as shares of the schedule.
LEVELS = (0.125, 0.375, 0.625, 0.875)
TEXT_LENGTH = 77  # tokens, as in every Stable Diffusion
Tokens = Callable[[list[str]], torch.Tensor]


def fresh(architecture: str, tokenizer: PreTrainedTokenizerBase, resolution: int) -> StableDiffusionPipeline:
    """Return a pipeline with random weights: Stable Diffusion's parts, small enough to train on a CPU."""
    assert architecture == "stable-diffusion-tiny"
    vae = AutoencoderKL(
        block_out_channels=(16, 32, 32),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=resolution,
    )
    text = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=TEXT_LENGTH,
        bos_token_id=tokenizer.cls_token_id,
        eos_token_id=tokenizer.sep_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    unet = UNet2DConditionModel(
        sample_size=resolution // 4,
        block_out_channels=(32, 64),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=64,
        attention_head_dim=8,
        norm_num_groups=8,
    )
    return StableDiffusionPipeline(
        vae=vae,
        text_encoder=CLIPTextModel(text),
        tokenizer=tokenizer,  # pyright: ignore[reportArgumentType]  # any tokenizer of one kind of text will do
        unet=unet,
        scheduler=DDIMScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            # In the thickest noise this asks for the image itself, of which only the caption tells: it is heeded soon.
            prediction_type="v_prediction",
            clip_sample=False,
            set_alpha_to_one=False,
            steps_offset=1,
        ),
        safety_checker=None,  # pyright: ignore[reportArgumentType]  # may be left out
        feature_extractor=None,  # pyright: ignore[reportArgumentType]  # the checker's
        requires_safety_checker=False,
    )


class Reconstruction(nn.Module):
    """How badly the autoencoder gives images back, as one module that several processes can share."""

    def __init__(self, vae: AutoencoderKL) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, pixels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        codes = self.vae.encode(pixels).latent_dist
        given_back = self.vae.decode(codes.sample(generator)).sample
        return functional.mse_loss(given_back.float(), pixels.float()) + KL_WEIGHT * codes.kl().mean()


class Denoising(nn.Module):
    """How badly noise in codes is recognised, given the caption, as one module that several processes can share."""

    def __init__(self, pipeline: StableDiffusionPipeline) -> None:
        super().__init__()
        self.unet = pipeline.unet
        self.text_encoder = pipeline.text_encoder
        self.schedule = DDPMScheduler.from_config(pipeline.scheduler.config)
        self.levels = int(self.schedule.config["num_train_timesteps"])

    def forward(
        self, codes: torch.Tensor, tokens: torch.Tensor, noise: torch.Tensor, times: torch.Tensor
    ) -> torch.Tensor:
        """Return the squared error of each example's prediction; predicting nothing errs by about 1."""
        noisy = self.schedule.add_noise(codes, noise, times)  # pyright: ignore[reportArgumentType]  # any integers
        wanted = noise
        if self.schedule.config["prediction_type"] == "v_prediction":
            wanted = self.schedule.get_velocity(codes, noise, times)  # pyright: ignore[reportArgumentType]
        meaning = self.text_encoder(tokens)[0]
        found = self.unet(noisy, times, meaning).sample
        return functional.mse_loss(found.float(), wanted.float(), reduction="none").mean(dim=(1, 2, 3))


def encode(vae: AutoencoderKL, pixels: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
    """Return the codes of images as diffusion sees them: drawn by the generator, or without one the likeliest."""
    with torch.no_grad():
        codes = vae.encode(pixels).latent_dist
        return (codes.sample(generator) if generator else codes.mode()) * vae.config["scaling_factor"]


def scale_codes(vae: AutoencoderKL, batches: Iterable[torch.Tensor]) -> None:
    """Set the factor that gives the codes of these images a variance of 1, like the noise that is added to them."""
    vae.register_to_config(scaling_factor=1.0)
    spread = torch.cat([encode(vae, batch).flatten() for batch in batches]).float().std()
    vae.register_to_config(scaling_factor=1.0 / max(float(spread), 1e-6))


def seeded(*numbers: int) -> torch.Generator:
    """Return a source of random numbers for one purpose: the same at the same place of a run, resumed or not."""
    state = 0
    for number in numbers:
        state = (state * 1_000_003 + number + 1) % (1 << 63)
    return torch.Generator().manual_seed(state)


class Batches:
    """Which examples each batch holds, from one batch to another; the order does not depend on where it begins."""

    def __init__(self, rows: int, size: int, seed: int, numbers: Iterable[int]) -> None:
        self.rows, self.size, self.seed, self.numbers = rows, size, seed, numbers
        self.epoch, self.order = -1, torch.empty(0)

    def __iter__(self) -> Iterator[list[int]]:
        for number in self.numbers:
            yield [self.example(place) for place in range(number * self.size, (number + 1) * self.size)]

    def example(self, place: int) -> int:
        """Return the example at a place of the whole run, in which every epoch has an order of its own."""
        epoch, position = divmod(place, self.rows)
        if epoch != self.epoch:
            self.epoch, self.order = epoch, torch.randperm(self.rows, generator=seeded(self.seed, epoch))
        return int(self.order[position])


def pixels(image: Image.Image, resolution: int) -> torch.Tensor:
    """Return the middle square of an image as numbers from -1 to 1, of shape (3, resolution, resolution)."""
    square = ImageOps.fit(image, (resolution, resolution), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.asarray(square).copy()).permute(2, 0, 1).float() / 127.5 - 1.0


def encoder(tokenizer: PreTrainedTokenizerBase, device: torch.device) -> Tokens:
    """Return what makes tokens of captions."""

    def tokens(texts: list[str]) -> torch.Tensor:
        found = tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt")
        return found["input_ids"].to(device)

    return tokens
