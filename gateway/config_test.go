package gateway

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

func TestConfigValidateNamesTheField(t *testing.T) {
	cases := map[string]func(*Config){
		"APIKeys[1]":           func(c *Config) { c.APIKeys = []string{"good", "with space"} },
		"APIKeys[0]":           func(c *Config) { c.APIKeys = []string{""} },
		"AllowedHosts[0]":      func(c *Config) { c.AllowedHosts = []string{"http://x"} },
		"AllowedOrigins[0]":    func(c *Config) { c.AllowedOrigins = []string{"example.com"} },
		"UnknownFields":        func(c *Config) { c.UnknownFields = "ignore" },
		"Aliases[0]":           func(c *Config) { c.Aliases = []Alias{{Pattern: "[", Model: "m"}} },
		"Aliases[1]: no model": func(c *Config) { c.Aliases = []Alias{{"a", "m"}, {"b", ""}} },
		"MaxBodyBytes":         func(c *Config) { c.MaxBodyBytes = 0 },
		"MaxHeaderBytes":       func(c *Config) { c.MaxHeaderBytes = -1 },
		"HeaderTimeout":        func(c *Config) { c.HeaderTimeout = 0 },
		"BodyTimeout":          func(c *Config) { c.BodyTimeout = 0 },
		"WriteTimeout":         func(c *Config) { c.WriteTimeout = 0 },
		"IdleTimeout":          func(c *Config) { c.IdleTimeout = 0 },
		"KeepAlive":            func(c *Config) { c.KeepAlive = -time.Second },
		"ResumeGrace":          func(c *Config) { c.ResumeGrace = 0 },
		"StatusHold":           func(c *Config) { c.StatusHold = -time.Second },
		"DefaultDeadline: 0s":  func(c *Config) { c.DefaultDeadline = 0 },
		"DefaultDeadline: 48h": func(c *Config) { c.DefaultDeadline = 48 * time.Hour },
		"DefaultBatchDeadline": func(c *Config) { c.DefaultBatchDeadline = 25 * time.Hour },
		"MaxDeadline":          func(c *Config) { c.MaxDeadline = (schemas.MaxDeadlineMS + 1) * time.Millisecond },
		"DeadlineGrace":        func(c *Config) { c.DeadlineGrace = 0 },
		"QueueTimeout":         func(c *Config) { c.QueueTimeout = 0 },
		"ReadyPoolThreshold":   func(c *Config) { c.ReadyPoolThreshold = 1.5 },
	}
	for want, change := range cases {
		t.Run(want, func(t *testing.T) {
			c := DefaultConfig()
			change(&c)
			err := c.Validate()
			if !errors.Is(err, ErrInvalidConfig) {
				t.Fatalf("got %v, want ErrInvalidConfig", err)
			}
			if !strings.Contains(err.Error(), want) {
				t.Errorf("got %q, want it to name %q", err, want)
			}
		})
	}
}

func TestConfigValidateReportsAllFaults(t *testing.T) {
	err := Config{}.Validate()
	for _, field := range []string{"UnknownFields", "MaxBodyBytes", "KeepAlive", "ReadyPoolThreshold"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s is not among %v", field, err)
		}
	}
}
