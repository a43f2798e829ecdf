"""The supervisor behind `manage.py up`: Redis, web and worker as children of one small process.

It imports no Django, so that it starts at once, stays small, and can report a broken installation in one sentence.

- `up` reads the environment and starts the product in the right order.
- `loop` owns the children: output, deaths, restarts, signals, the end.
- `launcher` starts one child so that nothing of it outlives the supervisor, not even after `kill -9`.
- `datadir`, `release`, `redis`, `output`, `dotenv` are the parts that those need.
"""
