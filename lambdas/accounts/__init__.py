"""Accounts: who may use the platform. Cognito keeps the users; this noun keeps the rules around them."""
