"""Text to image: Stable Diffusion learns pictures like those of the examples, and what their captions call them."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from datasets import Dataset
from diffusers import AutoencoderKL, StableDiffusionPipeline
from diffusers.optimization import get_scheduler
from peft import LoraConfig
from torch.utils.data import DataLoader
from transformers import set_seed

from training_containers.common import checkpoints
from training_containers.common.contract import TrainingError, read_json_object
from training_containers.common.parameters import parameter
from training_containers.huggingface import evaluating, examples, images, latent_diffusion, pretrained, trainer
from training_containers.huggingface.encoders import SPECIAL_TOKENS
from training_containers.huggingface.latent_diffusion import (
    LEVELS,
    Batches,
    Denoising,
    Reconstruction,
    Tokens,
    encode,
    seeded,
)
from training_containers.huggingface.parameters import LoraParameters
from training_containers.huggingface.run import Report, Run

# Guidance compares with an empty caption, so a model must know some images by none.
WITHOUT_CAPTION = 0.1
EVALUATIONS = 10
MOST_MEASURED = 256  # held-out images
SAMPLES, SAMPLE_STEPS = 4, 25
# Attention is where captions meet the image: the layers that are usually adapted.
ADAPTED = ["to_q", "to_k", "to_v", "to_out.0"]
STEP, HELD_OUT = 1, 2  # what random numbers are for


@dataclass(frozen=True)
class Parameters(LoraParameters):
    """What a job may set."""

    architecture: str = parameter(
        "What to train where there is no base model.", "stable-diffusion-tiny", choices=("stable-diffusion-tiny",)
    )
    resolution: int = parameter("Side of the square cut from the middle of each image, in pixels.", 512, 8, 2048)
    flip: bool = parameter("Mirror half of the images, where captions do not say left or right.", False)
    autoencoder_steps: int = parameter(
        "Steps in which a fresh autoencoder learns the images, before the steps of epochs or max_steps.", 1000, 1, 10**8
    )


def train(run: Run[Parameters]) -> Report:
    """Run the job up to its model's files."""
    given = run.parameters

    # --------------------------------------------------------------------------------------------------------- data
    training, test = examples.split(run, images.load(run, "text"))

    # -------------------------------------------------------------------------------------------------------- model
    set_seed(given.seed)
    base = pretrained.base_model(run, "model_index.json")
    if given.method == "lora" and not base:
        raise TrainingError("LoRA adapts a base model, and this job has none: give one, or choose the method full.")
    if base:
        pipeline = pretrained_pipeline(base)
    else:
        tokenizer = pretrained.tokenizer(run, base, training["text"], 30_000, **SPECIAL_TOKENS)
        pipeline = latent_diffusion.fresh(given.architecture, tokenizer, given.resolution)
    vae, unet, text_encoder, tokenizer = pipeline.vae, pipeline.unet, pipeline.text_encoder, pipeline.tokenizer
    # A longer caption would fail, and only once the model is served.
    tokenizer.model_max_length = text_encoder.config.max_position_embeddings
    smallest = pipeline.vae_scale_factor * 2 ** (len(unet.config["block_out_channels"]) - 1)
    if given.resolution % smallest:
        raise TrainingError(f"This model makes images whose sides are multiples of {smallest} pixels: set resolution.")
    # With a base, captions and codes keep their meaning: only what removes the noise learns.
    vae.requires_grad_(not base)
    text_encoder.requires_grad_(not base)
    if given.method == "lora":
        unet.requires_grad_(False)
        unet.add_adapter(LoraConfig(r=given.lora_r, lora_alpha=given.lora_alpha, target_modules=ADAPTED))
    if given.gradient_checkpointing:
        unet.enable_gradient_checkpointing()
    accelerator = accelerated(given)
    device = accelerator.device
    pipeline.to(device)

    # ------------------------------------------------------------------------------------------------------ batches
    pixels, tokens = reader(run, given.resolution), latent_diffusion.encoder(tokenizer, device)
    training, test = training.with_transform(pixels), test.with_transform(pixels)
    per_step = given.gradient_accumulation
    steps_per_epoch = math.ceil(len(training) / (given.batch_size * per_step * run.processes))
    first = 0 if base else given.autoencoder_steps  # the step with which denoising begins
    last = first + (given.max_steps or given.epochs * steps_per_epoch)

    # -------------------------------------------------------------------------------------------------- preparation
    reconstruction, denoising = Reconstruction(vae), Denoising(pipeline)
    learning = [weight for part in (reconstruction, denoising) for weight in part.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(
        learning, given.learning_rate, weight_decay=given.weight_decay, fused=device.type == "cuda"
    )
    rate = get_scheduler("constant_with_warmup", optimizer, num_warmup_steps=int(given.warmup_ratio * last))
    denoise, optimizer = accelerator.prepare(denoising, optimizer)
    reconstruct = reconstruction if base else accelerator.prepare(reconstruction)
    accelerator.register_for_checkpointing(rate)
    step = resume(run, accelerator)

    def loss_of(batch: dict[str, Any], step: int, generator: torch.Generator) -> torch.Tensor:
        """The loss of a batch; its random numbers come from the generator alone."""
        squares = batch["pixels"].to(device)
        if given.flip:
            mirrored = torch.rand(len(squares), generator=generator) < 0.5
            squares = torch.where(mirrored.to(device)[:, None, None, None], squares.flip(-1), squares)
        if step < first:
            return reconstruct(squares, generator)
        with accelerator.autocast():
            codes = encode(vae, squares, generator)
        noise = torch.randn(codes.shape, generator=generator).to(device)
        times = torch.randint(denoising.levels, (len(codes),), generator=generator).to(device)
        unnamed = torch.rand(len(codes), generator=generator) < WITHOUT_CAPTION
        texts = ["" if without else text for text, without in zip(batch["text"], unnamed.tolist(), strict=True)]
        return denoise(codes, tokens(texts), noise, times).mean()

    # ----------------------------------------------------------------------------------------------------- training
    run.shutdown.raise_if_requested("before training began")
    watch = trainer.Watch(run)
    log_every = max(1, last // trainer.MOST_LOGS)
    measure_every = max(steps_per_epoch, (last - first) // EVALUATIONS)
    save_every = given.checkpoint_every or steps_per_epoch
    numbers = range(step * per_step * run.processes + run.rank, last * per_step * run.processes, run.processes)
    order = Batches(len(training), given.batch_size, given.seed, numbers)
    batches = iter(DataLoader(training, batch_sampler=order, num_workers=4 if device.type == "cuda" else 0))  # pyright: ignore[reportArgumentType]
    if step > first:
        scale_codes(accelerator, vae, training, given.batch_size)
    while step < last:
        if step == first:
            scale_codes(accelerator, vae, training, given.batch_size)
            untrained = held_out_loss(run, accelerator, vae, denoising, test, tokens)
            run.log(step, last, 0, untrained)
        part, total = (reconstruct if step < first else denoise), torch.zeros((), device=device)
        for micro in range(per_step):
            with accelerator.accumulate(part):
                loss = loss_of(next(batches), step, seeded(given.seed, STEP, step, micro, run.rank))
                accelerator.backward(loss)
                total += loss.detach() / per_step
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(learning, 1.0)
                optimizer.step()
                optimizer.zero_grad()
        rate.step()
        step += 1
        epoch = max(0, step - first) / steps_per_epoch
        if step % log_every == 0 or step == last:
            name = "train_loss" if step > first else "autoencoder_loss"
            value = float(accelerator.reduce(total, "mean"))  # pyright: ignore[reportArgumentType]  # a tensor again
            run.log(step, last, epoch, {name: value, "learning_rate": rate.get_last_lr()[0]})
        if step > first and ((step - first) % measure_every == 0 or step == last):
            run.log(step, last, epoch, held_out_loss(run, accelerator, vae, denoising, test, tokens))
        stopping = watch.stopping(device)
        if stopping or step % save_every == 0 or step == last:
            save(run, accelerator, step)
        if stopping:
            run.shutdown.raise_if_requested(f"after step {step} of {last}; the checkpoint is saved")

    # --------------------------------------------------------------------------------------------------- evaluation
    measured = [line["test_loss"] for line in run.history if "test_loss" in line]  # which the main process keeps
    figures = {
        "test_loss": measured[-1] if run.main else math.nan,
        "test_untrained_loss": measured[0] if run.main else math.nan,
        "test_baseline_loss": 1.0,  # of seeing no noise anywhere: its variance
    }

    # ------------------------------------------------------------------------------------------------------- export
    samples = []
    if run.main:
        if given.method == "lora":
            unet.save_lora_adapter(run.paths.model / "adapter")
            # Merged, the model serves wherever its base does, and no slower.
            unet.fuse_lora()
            unet.unload_lora()
        pipeline.save_pretrained(run.paths.model)
        with accelerator.autocast():
            samples = pictures(pipeline, test[:SAMPLES]["text"], given.resolution, run.paths.model / "samples")
    return Report(
        task="text-to-image",
        primary_metric="test_loss",
        direction="min",
        metrics=figures,
        plots={"samples": samples},
        manifest={
            "architecture": "stable-diffusion" if base else given.architecture,
            "resolution": given.resolution,
            "rows": {"train": len(training), "test": len(test)},
        },
    )


def evaluate(run: Run[Parameters]) -> Report:
    """Ask a trained model for the noise in the images of the data, of which those that training measures by count."""
    folder, manifest = evaluating.trained_model(run)
    data = images.load(run, "text").with_transform(reader(run, manifest["resolution"]))
    accelerator = accelerated(run.parameters)
    pipeline = pretrained_pipeline(folder)
    pipeline.to(accelerator.device)
    tokens = latent_diffusion.encoder(pipeline.tokenizer, accelerator.device)
    loss = held_out_loss(run, accelerator, pipeline.vae, Denoising(pipeline), data, tokens)
    return Report(
        task="text-to-image",
        primary_metric="test_loss",
        direction="min",
        metrics={**loss, "test_baseline_loss": 1.0},  # of seeing no noise anywhere: its variance
        manifest={"resolution": manifest["resolution"], "rows": {"test": min(len(data), MOST_MEASURED)}},
    )


def accelerated(given: Parameters) -> Accelerator:
    """Return what computes, in the numbers that are asked for."""
    precision = [name for name, wanted in trainer.precision(given.mixed_precision).items() if wanted]
    return Accelerator(
        mixed_precision=precision[0] if precision else "no",
        gradient_accumulation_steps=given.gradient_accumulation,
        cpu=not torch.cuda.is_available(),
    )


def reader(run: Run[Parameters], resolution: int) -> Callable[[dict[str, list[Any]]], dict[str, Any]]:
    """Return what reads images as squares of that many pixels, with their captions."""
    files = images.ImageFiles(run.paths.channel("train"))

    def pixels(rows: dict[str, list[Any]]) -> dict[str, Any]:
        squares = [latent_diffusion.pixels(files.image(place), resolution) for place in rows["image"]]
        return {"pixels": squares, "text": rows["text"]}

    return pixels


def pretrained_pipeline(base: Path) -> StableDiffusionPipeline:
    """Return the base model's pipeline, whole; raises TrainingError for one of another kind."""
    kind = read_json_object(base / "model_index.json").get("_class_name")
    if kind != StableDiffusionPipeline.__name__:
        raise TrainingError(
            f"The base model is a {kind}; what is trained here is a {StableDiffusionPipeline.__name__}."
        )
    return StableDiffusionPipeline.from_pretrained(base, use_safetensors=True, dtype=torch.float32)


def resume(run: Run, accelerator: Accelerator) -> int:
    """Load the run's checkpoint, if there is one; return how many steps were done."""
    if not run.checkpoint:
        return 0
    folder = run.checkpoint.folder
    run.say(f"Resuming from {folder.name}.")
    accelerator.load_state(str(folder))
    return int(folder.name.rpartition("-")[2])


def save(run: Run, accelerator: Accelerator, step: int) -> None:
    """Save all that is trained and how far it is."""
    folder = run.paths.checkpoints / f"checkpoint-{step}"
    if run.main:
        checkpoints.begin(run.paths.checkpoints, step)
    accelerator.wait_for_everyone()
    accelerator.save_state(str(folder))
    accelerator.wait_for_everyone()
    run.complete_checkpoint(folder)


def scale_codes(accelerator: Accelerator, vae: AutoencoderKL, training: Dataset, batch_size: int) -> None:
    """Give the codes of the examples a variance of 1, like that of the noise which is added to them.

    A base model's codes have it already; what is not trained is not changed.
    """
    if not any(weight.requires_grad for weight in vae.parameters()):
        return
    some = range(min(len(training), MOST_MEASURED))
    rows = (training[list(some[start : start + batch_size])] for start in some[::batch_size])
    with accelerator.autocast():
        latent_diffusion.scale_codes(vae, (torch.stack(each["pixels"]).to(accelerator.device) for each in rows))


def held_out_loss(
    run: Run[Parameters],
    accelerator: Accelerator,
    vae: AutoencoderKL,
    denoising: Denoising,
    test: Dataset,
    tokens: Tokens,
) -> dict[str, float]:
    """Return the mean error on held-out images: an image's noise is always the same, so that figures compare."""
    mine, size = range(run.rank, min(len(test), MOST_MEASURED), run.processes), run.parameters.batch_size
    sums = torch.zeros(2, dtype=torch.float64, device=accelerator.device)
    with torch.no_grad(), accelerator.autocast():
        for start in range(0, len(mine), size):
            numbers = list(mine[start : start + size])
            rows = test[numbers]
            codes, words = encode(vae, torch.stack(rows["pixels"]).to(accelerator.device)), tokens(rows["text"])
            noises = [torch.randn(codes.shape[1:], generator=seeded(HELD_OUT, number)) for number in numbers]
            noise = torch.stack(noises).to(accelerator.device)
            for level in LEVELS:
                times = torch.full((len(numbers),), int(level * denoising.levels), device=accelerator.device)
                errors = denoising(codes, words, noise, times)
                sums += torch.stack([errors.double().sum(), torch.tensor(float(len(errors))).to(sums)])
    total, count = accelerator.reduce(sums, "sum").tolist()  # pyright: ignore[reportAttributeAccessIssue]  # a tensor again
    return {"test_loss": total / max(count, 1)}


def pictures(
    pipeline: StableDiffusionPipeline, texts: list[str], resolution: int, folder: Path
) -> list[dict[str, str]]:
    """Write a picture for each caption, and return which is whose."""
    folder.mkdir(parents=True)
    pipeline.set_progress_bar_config(disable=True)
    made: Any = pipeline(
        texts,
        height=resolution,
        width=resolution,
        num_inference_steps=SAMPLE_STEPS,
        generator=[torch.Generator().manual_seed(0) for _ in texts],
    )
    for number, image in enumerate(made.images):
        image.save(folder / f"{number}.png")
    return [{"prompt": text, "file": f"samples/{number}.png"} for number, text in enumerate(texts)]
