"""The quarantine scanner: says of one uploaded file whether loading it could run code, without ever loading it."""
