"""What functions, workflows and containers do, each in a few seconds and failing fast: it needs every permission."""
