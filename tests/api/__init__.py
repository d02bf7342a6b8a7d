"""The API from the outside: real handlers, real proxy events, a real (local) AWS behind them."""
