package gateway

import "github.com/semantic-worker/semantic/schemas"

// Keys of log attributes. They are part of the contract with whoever searches
// the logs: the ids of request and job are on their lines in every process.
const (
	keyRequestID = schemas.LogRequestID
	keyJob       = schemas.LogJobID
	keyOwner     = "owner"
	keyModel     = "model"
	keyAlias     = "alias"
	keyClass     = "class"
	keyMethod    = "method"
	keyPath      = "path"
	keyRoute     = "route"
	keyStatus    = "status"
	keyCode      = "code"
	keyDuration  = "duration"
	keyTTFT      = "time_to_first_token"
	keyEvents    = "events"
	keyRemote    = "remote"
	keyWarnings  = "warnings"
	keyError     = "error"
	keyPanic     = "panic"
	keyStack     = "stack"
	keyActive    = "active"
	keyCut       = "cut"
)
