package gateway

// Keys of log attributes. They are part of the contract with whoever searches
// the logs: request_id is the same on a request's lines in every process.
const (
	keyRequestID = "request_id"
	keyJob       = "job"
	keyOwner     = "owner"
	keyModel     = "model"
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
