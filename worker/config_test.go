package worker_test

import (
	"testing"
	"time"

	"github.com/semantic-worker/semantic/worker"
)

func TestConfigNamesTheFieldOutOfRange(t *testing.T) {
	t.Parallel()
	if err := worker.DefaultConfig().Validate(); err != nil {
		t.Fatalf("the defaults are refused: %v", err)
	}
	for field, change := range map[string]func(*worker.Config){
		"DrainTimeout":   func(c *worker.Config) { c.DrainTimeout = -time.Second },
		"FlushTimeout":   func(c *worker.Config) { c.FlushTimeout = 0 },
		"StatusInterval": func(c *worker.Config) { c.StatusInterval = 0 },
		"RetryDelay":     func(c *worker.Config) { c.RetryDelay = -1 },
		"MaxRetryDelay":  func(c *worker.Config) { c.MaxRetryDelay = c.RetryDelay - 1 },
		"MaxAttempts":    func(c *worker.Config) { c.MaxAttempts = 0 },
	} {
		config := worker.DefaultConfig()
		change(&config)
		requireError(t, config.Validate(), worker.ErrConfig, field)
	}
}
