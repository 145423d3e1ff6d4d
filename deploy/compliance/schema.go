package compliance

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// cdxPath is the Go module that carries the schemas of CycloneDX; syft brings it.
const cdxPath = "github.com/CycloneDX/cyclonedx-go"

// validator checks documents against the schema of CycloneDX 1.6.
type validator struct{ schema *jsonschema.Schema }

// openSchema compiles the schema. The schemas that it refers to are read from
// beside it, never from the web.
func openSchema(ctx context.Context, root string) (validator, error) {
	dir, _, err := moduleDir(ctx, root, syftMod, cdxPath)
	if err != nil {
		return validator{}, err
	}
	c := jsonschema.NewCompiler()
	var first string
	for _, name := range []string{"bom-1.6.schema.json", "spdx.schema.json", "jsf-0.82.schemax.json"} {
		data, err := os.ReadFile(filepath.Join(dir, "schema", name))
		if err != nil {
			return validator{}, fmt.Errorf("schema: %w", err)
		}
		var doc map[string]any
		if err := json.Unmarshal(data, &doc); err != nil {
			return validator{}, fmt.Errorf("schema %s: %w", name, err)
		}
		id := str(doc, "$id")
		if err := c.AddResource(id, doc); err != nil {
			return validator{}, fmt.Errorf("schema %s: %w", name, err)
		}
		if first == "" {
			first = id
		}
	}
	schema, err := c.Compile(first)
	if err != nil {
		return validator{}, fmt.Errorf("schema: %w", err)
	}
	return validator{schema}, nil
}

func (v validator) validate(doc map[string]any) error {
	// Through JSON, so that the validator sees the types that a reader would.
	data, err := json.Marshal(doc)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	var plain any
	if err := json.Unmarshal(data, &plain); err != nil {
		return fmt.Errorf("decode: %w", err)
	}
	if err := v.schema.Validate(plain); err != nil {
		return fmt.Errorf("not CycloneDX 1.6: %w", err)
	}
	return nil
}
