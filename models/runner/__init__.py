"""One child process per loaded model: `messages.py` is the language, `process.py` the parent, `worker.py` the child."""
