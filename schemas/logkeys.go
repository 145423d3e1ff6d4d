package schemas

// Keys of log attributes, the same in every process: they are part of the
// contract with whoever searches the logs. Every line about a job has both.
const (
	// LogRequestID is the id of the request: the client's X-Request-Id, which the
	// job carries in [HeaderRequestID]. Empty for a job without one.
	LogRequestID = "request_id"
	// LogJobID is the id of the job. A request has none before it is submitted.
	LogJobID = "job_id"
)
