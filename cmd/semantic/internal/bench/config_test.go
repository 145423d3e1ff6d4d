package bench

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/semantic-worker/semantic/schemas"
)

func TestConfigValidate(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []struct {
		change      func(c *Config)
		field, want string
	}{
		{func(c *Config) { c.Scenario = "talk" }, "scenario", `"talk" is not chat, agents, long-prompt, burst, shared-prefix or mixed-classes`},
		{func(c *Config) { c.Rate = -1 }, "rate", "-1 is not more than 0"},
		{func(c *Config) { c.Rate = math.NaN() }, "rate", "NaN is not"},
		{func(c *Config) { c.Rate = math.Inf(1) }, "rate", "+Inf is not"},
		{func(c *Config) { c.Rate = 1e5 }, "rate", "makes more than 200000 requests"},
		{func(c *Config) { c.Rate, c.Arrivals = 1, "never" }, "arrivals", `"never" is not poisson, constant or burst`},
		{func(c *Config) { c.Arrivals = ArrivalsConstant }, "arrivals", "has no meaning without --rate"},
		{func(c *Config) { c.Concurrency = 0 }, "concurrency", "0 is not between 1 and 10000"},
		{func(c *Config) { c.Concurrency = 10001 }, "concurrency", "10001 is not"},
		{func(c *Config) { c.Duration = 0 }, "duration", "0s is not between 100ms and 24h0m0s"},
		{func(c *Config) { c.WarmUp = -1 }, "warmup", "-1ns is not"},
		{func(c *Config) { c.Timeout = time.Millisecond }, "timeout", "1ms is not"},
		{func(c *Config) { c.Rounds = 31 }, "rounds", "31 is not between 1 and 30"},
		{func(c *Config) { c.MaxTokens = 0 }, "max-tokens", "0 is not"},
		{func(c *Config) { c.Words = 0 }, "words", "0 is not"},
		{func(c *Config) { c.Class = "vip" }, "class", `"vip" is not`},
		{func(c *Config) { c.Scenario, c.Class = ScenarioMixedClasses, schemas.ClassBatch }, "class", "has no meaning"},
	} {
		c := DefaultConfig()
		bad.change(&c)
		field := new(FieldError)
		if err := c.Validate(); !errors.As(err, &field) || field.Field != bad.field || !strings.Contains(field.Reason, bad.want) {
			t.Errorf("%v, want %s: %s", err, bad.field, bad.want)
		}
	}
}
