package cli

import (
	"github.com/spf13/cobra"

	"github.com/semantic-worker/semantic/schemas"
)

func newSchemaCommand(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use:   "schema",
		Short: "Print the schemas of what travels",
		Long: `Print the contract of this release: the JSON Schemas of the queue's documents, and
the descriptions of the HTTP, the admin and the NATS interface.`,
		Example: `  semantic schema job > job.schema.json
  semantic schema openapi > openapi.yaml`,
	},
		newSchemaPart(a, "job", "Print the JSON Schema of a job", schemas.JobSchema),
		newSchemaPart(a, "event", "Print the JSON Schema of an event", schemas.EventSchema),
		newSchemaPart(a, "worker", "Print the JSON Schema of a worker's registry entry", schemas.WorkerSchema),
		newSchemaPart(a, "input", "Print the JSON Schema of what stands for a large job", schemas.InputSchema),
		newSchemaPart(a, "parked", "Print the JSON Schema of a dead job", schemas.ParkedSchema),
		newSchemaPart(a, "openapi", "Print the HTTP interface (OpenAPI 3.1, YAML)", schemas.OpenAPI),
		newSchemaPart(a, "openapi-admin", "Print the admin interface (OpenAPI 3.1, YAML)", schemas.OpenAPIAdmin),
		newSchemaPart(a, "asyncapi", "Print the NATS interface (AsyncAPI 3.0, YAML)", schemas.AsyncAPI),
	)
}

func newSchemaPart(a *app, name, short string, text func() []byte) *cobra.Command {
	return &cobra.Command{
		Use:     name,
		Short:   short,
		Example: "  semantic schema " + name,
		Args:    args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			return a.printf("%s", text())
		},
	}
}
