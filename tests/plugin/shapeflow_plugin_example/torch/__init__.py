"""What the torch backend needs of them."""
