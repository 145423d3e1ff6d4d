package worker

// Log keys. Every line about a request carries keyRequestID and keyJobID.
const (
	keyRequestID   = "request_id"
	keyJobID       = "job_id"
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
