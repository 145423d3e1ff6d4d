package cli

import (
	"math"

	"github.com/spf13/cobra"

	"github.com/semantic-worker/semantic/schemas"
)

// samplingFlags are the flags of how the answer is chosen, of chat, submit and
// `job new`. A flag that was not given leaves the choice to the server.
type samplingFlags struct {
	temperatureValue float64
	topPValue        float64
	seedValue        int64
	maxTokensValue   int
}

func (s *samplingFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.Float64Var(&s.temperatureValue, "temperature", 1, "`NUMBER` that says how free the choice of words is, 0 (none) … 2")
	flags.Float64Var(&s.topPValue, "top-p", 1, "choose among the likeliest tokens of this total `PROBABILITY`, 0 … 1")
	flags.Int64Var(&s.seedValue, "seed", 0, "`NUMBER` that makes the choice repeatable (default: drawn anew)")
	flags.IntVar(&s.maxTokensValue, "max-tokens", 0, "longest answer in `TOKENS` (default: what the context has room for)")
}

// check refuses values out of range, as the server would. NaN is in no range.
func (s *samplingFlags) check(cmd *cobra.Command) error {
	switch {
	case !(s.temperatureValue >= 0 && s.temperatureValue <= schemas.MaxTemperature):
		return usagef("--temperature: %v is not between 0 and %d", s.temperatureValue, schemas.MaxTemperature)
	case !(s.topPValue >= 0 && s.topPValue <= 1):
		return usagef("--top-p: %v is not between 0 and 1", s.topPValue)
	case cmd.Flags().Changed("max-tokens") && (s.maxTokensValue < 1 || s.maxTokensValue > math.MaxInt32):
		return usagef("--max-tokens: %d is not between 1 and %d", s.maxTokensValue, math.MaxInt32)
	}
	return nil
}

func (s *samplingFlags) temperature(cmd *cobra.Command) *float64 {
	return given(cmd, "temperature", s.temperatureValue)
}
func (s *samplingFlags) topP(cmd *cobra.Command) *float64 { return given(cmd, "top-p", s.topPValue) }
func (s *samplingFlags) seed(cmd *cobra.Command) *int64   { return given(cmd, "seed", s.seedValue) }
func (s *samplingFlags) maxTokens(cmd *cobra.Command) *int {
	return given(cmd, "max-tokens", s.maxTokensValue)
}

// given is the flag's value, or nil if it was not given.
func given[T any](cmd *cobra.Command, flag string, value T) *T {
	if !cmd.Flags().Changed(flag) {
		return nil
	}
	return &value
}
