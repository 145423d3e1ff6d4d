package schemas

import (
	_ "embed" // for the schema files
	"slices"
)

//go:generate go run ./internal/gen . ../docs/job-and-event.md

//go:embed job.schema.json
var jobSchema []byte

//go:embed event.schema.json
var eventSchema []byte

//go:embed worker.schema.json
var workerSchema []byte

//go:embed input.schema.json
var inputSchema []byte

//go:embed parked.schema.json
var parkedSchema []byte

//go:embed openapi.yaml
var openAPI []byte

//go:embed openapi-admin.yaml
var openAPIAdmin []byte

//go:embed asyncapi.yaml
var asyncAPI []byte

// JobSchema is the JSON Schema (draft 2020-12) of a [Job].
func JobSchema() []byte { return slices.Clone(jobSchema) }

// EventSchema is the JSON Schema (draft 2020-12) of an [Event].
func EventSchema() []byte { return slices.Clone(eventSchema) }

// WorkerSchema is the JSON Schema (draft 2020-12) of a [WorkerStatus].
func WorkerSchema() []byte { return slices.Clone(workerSchema) }

// InputSchema is the JSON Schema (draft 2020-12) of an [Input].
func InputSchema() []byte { return slices.Clone(inputSchema) }

// ParkedSchema is the JSON Schema (draft 2020-12) of a [Parked].
func ParkedSchema() []byte { return slices.Clone(parkedSchema) }

// OpenAPI is the description of the HTTP interface, OpenAPI 3.1 in YAML.
func OpenAPI() []byte { return slices.Clone(openAPI) }

// OpenAPIAdmin is the description of the admin interface, OpenAPI 3.1 in YAML.
func OpenAPIAdmin() []byte { return slices.Clone(openAPIAdmin) }

// AsyncAPI is the description of the NATS interface, AsyncAPI 3.0 in YAML.
func AsyncAPI() []byte { return slices.Clone(asyncAPI) }
