"""The whole platform on one machine: an AWS emulator, our SageMaker and Batch, and one front door."""
