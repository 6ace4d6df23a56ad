"""Models of the Hugging Face Hub that its registry does not serve: sharded ones, revisions, private repositories.

`reference` what a name means there · `selection` which files of a repository make the model · `source` the Hub itself,
and the only importer of `huggingface_hub` · `cache` files that other programs have fetched · `fetch` brings them here
"""
