"""Model names, manifests and blobs: the store on disk and the protocol that fills it.

Read in this order:

* `names` what a model is called; `digest` how content is named; `manifest` what a model consists of;
  `errors` what can go wrong.
* `gojson` the JSON form of everything content-addressed and everything on the wire; `fields` its reading side.
* `files` durable writing; `locks` who may remove what while somebody else is building a model, `promises` while
  somebody is about to.
* `blobs` content by digest; `manifests` name → manifest; `prune` what may be removed; `store` all of them as one.

Then the way to registries:

* `wire` HTTP, bounded and worded as Go words it; `auth` key, challenge, token, with the passwords of `credentials`;
  `client` one method per endpoint; `threads` blocking steps; `gojson_errors` what Go says of bad JSON.
* `partial` an unfinished download on disk; `attempt` fills it, at a `pace`, held back by a `throttle`; `transfer` one
  download from the first byte to its name, `downloads` shared by all who wait for it; `upload` the other direction.
* `registries` what all transfers share; `pull` and `push` the verbs, which tell their `progress`.
* `hub/` the Hugging Face Hub's files, where its registry does not serve a model.
"""
