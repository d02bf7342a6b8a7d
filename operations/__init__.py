"""What an operator does to a stage: deploy it, destroy it, examine its account, appoint an admin, read its logs."""
