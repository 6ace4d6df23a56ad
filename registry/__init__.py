"""Model names, manifests and blobs: the store on disk and the protocol that fills it.

Read in this order:

* `names` what a model is called; `digest` how content is named; `manifest` what a model consists of;
  `errors` what can go wrong.
* `gojson` the JSON form of everything content-addressed and everything on the wire; `fields` its reading side.
* `files` durable writing; `locks` who may remove what while somebody else is building a model.
* `blobs` content by digest; `manifests` name → manifest; `prune` what may be removed; `store` all of them as one.
"""
