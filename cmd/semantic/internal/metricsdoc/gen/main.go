// Gen writes docs/metrics.md.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/metricsdoc"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: gen PAGE")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func write(file string) error {
	metrics, err := metricsdoc.All(context.Background())
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	page, err := metricsdoc.Page(metrics)
	if err != nil {
		return fmt.Errorf("page: %w", err)
	}
	if err := os.WriteFile(file, page, 0o644); err != nil {
		return fmt.Errorf("page: %w", err)
	}
	return nil
}
