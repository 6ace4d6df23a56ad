"""Making models: from uploaded files or from another model, with what the request adds.

Read in this order:

* `request.py` what is asked, and the checks that need nothing but the request; `creation.py` the steps to a manifest.
* `uploads.py` weights from uploaded files; `base.py` from another model; `remote.py` from another server.
* `convert/` GGUF files from safetensors ones, in a process of its own.
* `layers.py` layers that are still to be written; `texts.py` those that the request brings; `config.py` the config.
* `known_templates.py` the Go template for a Jinja template that is known; `distance.py` how it is recognised.
* `parent.py` and `child.py` the two sides of a process that makes a file, `messages.py` what they say to each other.
* `quantization.py` which types there are; `quantizing.py` the parent, `quantize.py` the child process that makes them;
  `importance.py` files that say which weights matter.
* `merge.py` new GGUF files from uploaded ones; `split.py` which of them belong together; `takeover.py` merges that need
  no room beside the shards'.
"""
