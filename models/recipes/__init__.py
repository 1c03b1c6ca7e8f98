"""How each ONNX file of the zoo is made: conversions that `fetch.py` runs, and the training of the in-repo models."""
