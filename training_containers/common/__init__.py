"""What every image family needs: SageMaker's folders, progress, checkpoints, artefacts and the web server."""
