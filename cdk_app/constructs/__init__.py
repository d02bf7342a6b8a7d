"""One construct per file: what every table, bucket, function, workflow and rule of ours has in common."""
