"""What runs in Lambda: one folder per noun, and what two nouns share in `common`."""
