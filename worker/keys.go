package worker

import "github.com/semantic-worker/semantic/schemas"

// Log keys. Every line about a request carries keyRequestID and keyJobID.
const (
	keyRequestID   = schemas.LogRequestID
	keyJobID       = schemas.LogJobID
	keyOwner       = "owner"
	keyModel       = "model"
	keyClass       = "class"
	keyWorker      = "worker"
	keyIncarnation = "incarnation"
	keyFingerprint = "fingerprint"
	keyAttempt     = "attempt"
	keyOutcome     = "outcome"
	keyError       = "error"
	keyRunning     = "running"
)
