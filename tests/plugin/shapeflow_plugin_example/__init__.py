"""Components for shapeflow from another distribution. It imports only what `shapeflow` exports."""
