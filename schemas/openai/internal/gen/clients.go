package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// client is what a fixture says about the request of one client.
type client struct {
	Client  string `json:"client"`
	Path    string `json:"path"`
	Refused *struct {
		Code  string `json:"code"`
		Param string `json:"param"`
	} `json:"refused"`
	Why string `json:"why"`
}

// readClients reads the fixtures in a folder, by the name of their files.
func readClients(dir string) ([]client, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, fmt.Errorf("fixtures: %w", err)
	}
	var all []client
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("fixtures: %w", err)
		}
		var c client
		if err := json.Unmarshal(data, &c); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		all = append(all, c)
	}
	return all, nil
}

const clientsIntro = `
## What clients send

The request bodies in ` + "`schemas/openai/testdata/clients`" + ` are written after what these clients send. A test keeps this table true.

| client and request | outcome | why |
| --- | --- | --- |
`

func clientTable(clients []client) string {
	var doc strings.Builder
	doc.WriteString(clientsIntro)
	for _, c := range clients {
		outcome := "accepted"
		if c.Refused != nil {
			outcome = fmt.Sprintf("400 `%s` for `%s`", c.Refused.Code, c.Refused.Param)
		}
		fmt.Fprintf(&doc, "| %s | %s | %s |\n", c.Client, outcome, c.Why)
	}
	return doc.String()
}
