package schemas

// Code is a stable error code: part of the contract, the same for HTTP
// clients, direct publishers and the command line.
type Code string

// The codes. The gateway has the one table that maps them to HTTP statuses.
const (
	// CodeInvalidRequest: a field has a wrong type or value; param names it.
	CodeInvalidRequest Code = "invalid_request"
	// CodeUnsupportedParameter: a known parameter that this release cannot
	// honour; param names it.
	CodeUnsupportedParameter Code = "unsupported_parameter"
	// CodeUnknownParameter: a field that no release knows; param names it.
	CodeUnknownParameter Code = "unknown_parameter"
	// CodeModelNotFound: nobody ever announced the model.
	CodeModelNotFound Code = "model_not_found"
	// CodeContextLengthExceeded: prompt and max_tokens can never fit.
	CodeContextLengthExceeded Code = "context_length_exceeded"
	// CodeQueueFull: the class, or the owner's flow, holds no more jobs.
	CodeQueueFull Code = "queue_full"
	// CodeTooManyStreams: the gateway has as many requests open as it may.
	CodeTooManyStreams Code = "too_many_streams"
	// CodeStorageFull: the broker's storage limit is reached.
	CodeStorageFull Code = "storage_full"
	// CodeQueueUnavailable: JetStream cannot be reached.
	CodeQueueUnavailable Code = "queue_unavailable"
	// CodeDeadlineExceeded: the deadline passed, waiting or running.
	CodeDeadlineExceeded Code = "deadline_exceeded"
	// CodeCancelled: the owner cancelled.
	CodeCancelled Code = "cancelled"
	// CodeWorkerLost: too many workers died on this job. It is kept: semantic dead.
	CodeWorkerLost Code = "worker_lost"
	// CodeInputLost: the job is in the object store, and there it is missing or
	// damaged.
	CodeInputLost Code = "input_lost"
	// CodeJobLost: the job had not ended and is not in the queue any more, or never
	// was.
	CodeJobLost Code = "job_lost"
	// CodeSlowConsumer: the reader fell too far behind.
	CodeSlowConsumer Code = "slow_consumer"
	// CodeTemplateFailed: the model's chat template cannot render the messages.
	CodeTemplateFailed Code = "template_failed"
	// CodeEngineFailed: the native library reported an error.
	CodeEngineFailed Code = "engine_failed"
	// CodeServerRestarting: the gateway is stopping; the job goes on.
	CodeServerRestarting Code = "server_restarting"
	// CodeUnauthorized: no or a wrong API key.
	CodeUnauthorized Code = "unauthorized"
	// CodeForbidden: a Host or Origin that is not served.
	CodeForbidden Code = "forbidden"
	// CodeNotFound: no such route.
	CodeNotFound Code = "not_found"
	// CodeJobNotFound: there is no such job, or it is another client's.
	CodeJobNotFound Code = "job_not_found"
	// CodeLogRewound: the reader has more of a stream than its log: the broker lost
	// its last writes.
	CodeLogRewound Code = "log_rewound"
	// CodeIdempotencyMismatch: the Idempotency-Key was used with another request.
	CodeIdempotencyMismatch Code = "idempotency_mismatch"
	// CodeIdempotencyConflict: the Idempotency-Key is in use, and the request does
	// not show that the job is its client's.
	CodeIdempotencyConflict Code = "idempotency_conflict"
	// CodeWorkerNotFound: no live worker has that id, or there is none at all.
	CodeWorkerNotFound Code = "worker_not_found"
	// CodeWorkerSilent: the worker does not answer; it hangs, or its machine sleeps.
	CodeWorkerSilent Code = "worker_silent"
	// CodeWorkerOutdated: the worker is of a release that does not know the request.
	CodeWorkerOutdated Code = "worker_outdated"
	// CodeWorkerDraining: the worker is about to end, which nothing takes back.
	CodeWorkerDraining Code = "worker_draining"
	// CodeMethodNotAllowed: the route exists, the method does not.
	CodeMethodNotAllowed Code = "method_not_allowed"
	// CodeRequestTooLarge: the body is over the limit.
	CodeRequestTooLarge Code = "request_too_large"
	// CodeUnsupportedMediaType: the body is not JSON.
	CodeUnsupportedMediaType Code = "unsupported_media_type"
	// CodeInternal: a fault of ours.
	CodeInternal Code = "internal_error"
)

// Codes lists every code.
func Codes() []Code {
	return []Code{
		CodeInvalidRequest,
		CodeUnsupportedParameter,
		CodeUnknownParameter,
		CodeModelNotFound,
		CodeContextLengthExceeded,
		CodeQueueFull,
		CodeTooManyStreams,
		CodeStorageFull,
		CodeQueueUnavailable,
		CodeDeadlineExceeded,
		CodeCancelled,
		CodeWorkerLost,
		CodeInputLost,
		CodeJobLost,
		CodeSlowConsumer,
		CodeTemplateFailed,
		CodeEngineFailed,
		CodeServerRestarting,
		CodeUnauthorized,
		CodeForbidden,
		CodeNotFound,
		CodeJobNotFound,
		CodeLogRewound,
		CodeIdempotencyMismatch,
		CodeIdempotencyConflict,
		CodeWorkerNotFound,
		CodeWorkerSilent,
		CodeWorkerOutdated,
		CodeWorkerDraining,
		CodeMethodNotAllowed,
		CodeRequestTooLarge,
		CodeUnsupportedMediaType,
		CodeInternal,
	}
}
