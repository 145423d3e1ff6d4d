package schemas

// Keys of log attributes, the same in every process: they are part of the
// contract with whoever searches the logs. The first group is on every line of
// a request's life, as far as a process knows it. In JSON a duration is written
// in seconds, as a number, with _seconds at the end of its key.
const (
	// LogRequestID is the id of the request: the client's X-Request-Id, which the
	// job carries in [HeaderRequestID]. Empty for a job without one.
	LogRequestID = "request_id"
	// LogJobID is the id of the job. A request has none before it is submitted.
	LogJobID = "job_id"
	// LogTraceID is the id of the trace, in hex; absent where there is none.
	LogTraceID = "trace_id"
	// LogModel is the model's canonical name, LogAlias the name that the client
	// used where that is another.
	LogModel = "model"
	LogAlias = "alias"
	// LogWorker is the worker's id, LogIncarnation that of one run of it.
	LogWorker      = "worker"
	LogIncarnation = "incarnation"
	// LogOwner is whose request it is, LogAgent the agent that the job names.
	LogOwner = "owner"
	LogAgent = "agent"
	// LogClass is the job's class, LogFlow its flow.
	LogClass = "class"
	LogFlow  = "flow"
	// LogRole is what the process is: serve, gateway, worker or broker.
	LogRole = "role"
	// LogComponent is the library whose line it is (llama.cpp, nats-server), or
	// the part of a process (nats).
	LogComponent = "component"
	// LogEvent is one of the LogEvent… names, on lines about a major operation.
	LogEvent = "event"
	// LogError is the error, whole; LogCode its typed code, LogParam the
	// parameter at fault.
	LogError = "error"
	LogCode  = "code"
	LogParam = "param"
)

// Keys of the lines that say how a request or job ended, and on the way there.
const (
	LogAPI    = "api" // chat_completions, models, jobs, …
	LogMethod = "method"
	LogPath   = "path"
	LogRoute  = "route"  // the pattern that the request matched
	LogRemote = "remote" // the client's address
	LogStatus = "status" // the HTTP status; of a child, how it ended
	LogStream = "stream" // whether the client streams; also a NATS stream's name

	// LogOutcome is how a request or a claim ended, in one word.
	LogOutcome = "outcome"
	// LogFinish is why the model stopped: stop, length, …
	LogFinish   = "finish"
	LogWarnings = "warnings"

	LogRequestBytes  = "request_bytes"
	LogResponseBytes = "response_bytes"
	// LogEvents counts the job's events that a gateway read.
	LogEvents  = "events"
	LogChoices = "choices"

	LogPromptTokens = "prompt_tokens"
	// LogCompletionTokens counts what the model produced in all attempts.
	LogCompletionTokens = "completion_tokens"
	// LogCachedTokens counts prompt tokens whose state was in the cache.
	LogCachedTokens = "cached_tokens"
	// LogReplayed counts tokens of earlier attempts, which a resumed job begins with.
	LogReplayed = "replayed_tokens"
	// LogTokens counts tokens otherwise.
	LogTokens = "tokens"

	// LogAttempt is the number of an attempt, from 1; LogAttempts how many there
	// were; LogDeliveries how often the broker offered the job.
	LogAttempt    = "attempt"
	LogAttempts   = "attempts"
	LogDeliveries = "deliveries"

	// Durations. LogDuration is that of the whole; the others are its parts.
	LogDuration  = "duration"
	LogTTFT      = "time_to_first_token"
	LogQueued    = "queued"    // stored until claimed
	LogAdmission = "admission" // given to the engine until its first row
	LogPrefill   = "prefill"
	LogDecode    = "decode"

	// LogPreemptions counts how often the engine put a sequence aside.
	LogPreemptions = "preemptions"

	// LogPrompt and LogAnswer are texts of users: only with --log-content.
	LogPrompt = "prompt"
	LogAnswer = "answer"
)

// Keys of other lines.
const (
	LogActive       = "active"
	LogAddress      = "address"
	LogAfter        = "after"
	LogArchitecture = "architecture"
	LogAuth         = "auth"
	LogBackend      = "backend"
	LogBackoff      = "backoff"
	LogBefore       = "before"
	LogBegan        = "began"
	LogBound        = "bound"
	LogBlocks       = "blocks"
	LogBucket       = "bucket"
	LogBytes        = "bytes"
	LogCall         = "call"
	LogCells        = "cells"
	LogCellsUsed    = "cells_used"
	LogChange       = "change"
	LogChild        = "child"
	LogContext      = "context"
	LogCut          = "cut"
	LogDelay        = "delay"
	LogDir          = "dir"
	LogDrainTimeout = "drain_timeout"
	LogDropped      = "dropped"
	LogExporter     = "exporter"
	LogFile         = "file"
	LogFingerprint  = "fingerprint"
	LogFinished     = "finished"
	LogHangTimeout  = "hang_timeout"
	LogJobs         = "jobs"
	LogKept         = "kept"
	LogKind         = "kind"
	LogKnown        = "known"
	LogLease        = "lease"
	LogLimit        = "limit"
	LogLine         = "line"
	LogLines        = "lines"
	LogLog          = "log"
	LogMark         = "mark"
	LogMost         = "most"
	LogNeeds        = "needs"
	LogNeedsBytes   = "needs_bytes"
	LogOthers       = "others"
	LogPanic        = "panic"
	LogParallel     = "parallel"
	LogPart         = "part"
	LogPID          = "pid"
	LogPlaces       = "places"
	LogQuantisation = "quantisation"
	LogReplyTo      = "reply_to"
	LogRunning      = "running"
	LogSampler      = "sampler"
	LogSequence     = "sequence"
	LogSequenceID   = "sequence_id"
	LogServer       = "server"
	LogSetting      = "setting"
	LogSource       = "source"
	LogStack        = "stack"
	LogStep         = "step"
	LogStepTimeout  = "step_timeout"
	LogStopTimeout  = "stop_timeout"
	LogStoredAt     = "stored_at"
	LogSubject      = "subject"
	LogTarget       = "target"
	LogText         = "text"
	LogThreads      = "threads"
	LogTier         = "tier"
	LogTimeout      = "timeout"
	LogTook         = "took"
	LogUnfinished   = "unfinished"
	LogURL          = "url"
	LogVariables    = "variables"
	LogWait         = "wait"
	LogWaiting      = "waiting"
	// LogWho is who asked for a change: the name of a key, or a NATS user.
	LogWho = "who"
	LogWhy = "why"
)

// Names of major operations, the values of [LogEvent]. They do not change with
// the words of the message beside them.
const (
	// LogEventRequestStart and LogEventRequestEnd frame an HTTP request; the end
	// is its canonical line: who, what, sizes, timings, outcome.
	LogEventRequestStart = "request.start" // debug
	LogEventRequestEnd   = "request.end"
	// LogEventJobClaimed, …Started and …End are a job's way through one worker;
	// the end is the canonical line of that attempt.
	LogEventJobClaimed = "job.claimed"
	LogEventJobStarted = "job.started"
	LogEventJobEnd     = "job.end"
	// LogEventJobParked is a job given up after several deaths.
	LogEventJobParked = "job.parked"
	// LogEventBatchAdmitted and …Finished are a sequence's way through the engine.
	LogEventBatchAdmitted = "batch.admitted" // debug
	LogEventBatchFinished = "batch.finished" // debug
	// LogEventCacheHit and …Evict are about computed context.
	LogEventCacheHit   = "cache.hit"   // debug
	LogEventCacheEvict = "cache.evict" // debug
	LogEventModelLoad  = "model.load"
	// LogEventDrainBegin and …End frame a stop; LogEventDrainHandover is one job
	// that goes on elsewhere.
	LogEventDrainBegin    = "drain.begin"
	LogEventDrainEnd      = "drain.end"
	LogEventDrainHandover = "drain.handover"
	// LogEventWorkerReady: jobs are taken now.
	LogEventWorkerReady = "worker.ready"
	// LogEventChildStart and …Exit are of the worker under `semantic serve`.
	LogEventChildStart = "child.start" // debug
	LogEventChildExit  = "child.exit"
	// LogEventBrokerLost and …Back are about the connection to NATS.
	LogEventBrokerLost = "broker.lost"
	LogEventBrokerBack = "broker.back"
	// LogEventAdminChange is the audit of a change by an operator.
	LogEventAdminChange = "admin.change"
)
