"""What two nouns or more use: the app factory, identity, errors, the store, uploads."""
