// Package models keeps the models of one machine, by name.
//
// A model is a folder <home>/models/<slug of the name> with a manifest,
// model.json, and the weights, if the store owns them; otherwise the manifest
// refers to a file elsewhere (of LM Studio, of the Hugging Face cache, …),
// which the store never changes or deletes. The manifest remembers size, time
// and hash of every file, so that a file that was changed or went away is
// noticed before it is loaded.
//
// A model's folder is there whole or not at all: it is made in .staging,
// flushed to the disk and renamed, under a lock of the model's own. What a
// process left in .staging when it died is removed by the next one that takes
// the lock. Downloads that were interrupted stay in .partial and go on where
// they ended.
package models
