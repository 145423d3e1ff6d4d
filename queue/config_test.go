package queue

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/semantic-worker/semantic/schemas"
)

func TestDefaultConfigIsValid(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Fatal(err)
	}
}

func TestConfigValidate(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"AckWait":           func(c *Config) { c.AckWait = time.Millisecond },
		"PollInterval":      func(c *Config) { c.PollInterval = 0 },
		"RequestTimeout":    func(c *Config) { c.RequestTimeout = 0 },
		"SubmitTimeout":     func(c *Config) { c.SubmitTimeout = c.RequestTimeout / 2 },
		"ConnectTimeout":    func(c *Config) { c.ConnectTimeout = 0 },
		"ReconnectWait":     func(c *Config) { c.ReconnectWait = 0 },
		"FollowSilence":     func(c *Config) { c.FollowSilence = 0 },
		"CancelGrace":       func(c *Config) { c.CancelGrace = -1 },
		"RegistryTTL":       func(c *Config) { c.RegistryTTL = 10 * time.Millisecond },
		"TTLMargin":         func(c *Config) { c.TTLMargin = 0 },
		"LeaseTTL":          func(c *Config) { c.LeaseTTL = time.Minute },
		"ReconcileInterval": func(c *Config) { c.ReconcileInterval = 0 },
		"DeadlineGrace":     func(c *Config) { c.DeadlineGrace = -1 },
		"ModelGrace":        func(c *Config) { c.ModelGrace = -1 },
		"SubmitGrace":       func(c *Config) { c.SubmitGrace = -1 },
		"EventRetention":    func(c *Config) { c.EventRetention = c.EventsMaxAge },
		"DefaultDeadline":   func(c *Config) { delete(c.DefaultDeadline, schemas.ClassBatch) },
		"EventsMaxAge":      func(c *Config) { c.EventsMaxAge = time.Hour },
		"Bounds":            func(c *Config) { delete(c.Bounds, schemas.ClassBatch) },
		"MaxJobsPerFlow":    func(c *Config) { c.Bounds[schemas.ClassBatch] = Bounds{MaxJobs: 1, MaxBytes: 1, MaxJobsPerFlow: 2} },
		"EventsMaxBytes":    func(c *Config) { c.EventsMaxBytes = 0 },
		"StorageHighWater":  func(c *Config) { c.StorageHighWater = 1.1 },
		"Replicas":          func(c *Config) { c.Replicas = 2 },
		"MaxConsumers":      func(c *Config) { c.MaxConsumers = 3 },
		"ReplyPrefixes":     func(c *Config) { c.ReplyPrefixes = []string{"semantic.events."} },
	} {
		c := DefaultConfig()
		change(&c)
		err := c.Validate()
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, prefix := range []string{"a.*.", "a", "$JS.", "", "."} {
		c := DefaultConfig()
		c.ReplyPrefixes = []string{prefix}
		if c.Validate() == nil {
			t.Errorf("reply prefix %q accepted", prefix)
		}
	}
}
