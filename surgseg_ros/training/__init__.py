"""Training: `surgseg train RECIPE` drives any Task (task.py) with the one loop (loop.py).

A new trainable network needs
1. a file here with a Task: its Recipe (frozen dataclasses, each key with its type and default),
   its samples, its loss and its metrics (segmentation.py is the one to read first);
2. one line in tasks.py;
3. a recipe in config/train/.
Resuming, precision, several GPUs, logs, early stopping and the card then come by themselves.
"""
