package cli

import (
	"github.com/spf13/cobra"
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
	flags.Float64Var(&s.temperatureValue, "temperature", 1, "how free the choice of words is, 0 (none) … 2")
	flags.Float64Var(&s.topPValue, "top-p", 1, "choose among the likeliest tokens of this total probability, 0 … 1")
	flags.Int64Var(&s.seedValue, "seed", 0, "make the choice repeatable (default: drawn anew)")
	flags.IntVar(&s.maxTokensValue, "max-tokens", 0, "longest answer in tokens (default: what the context has room for)")
}

// check refuses values out of range, as the server would.
func (s *samplingFlags) check() error {
	switch {
	case s.temperatureValue < 0 || s.temperatureValue > 2:
		return usagef("--temperature: %v is not between 0 and 2", s.temperatureValue)
	case s.topPValue < 0 || s.topPValue > 1:
		return usagef("--top-p: %v is not between 0 and 1", s.topPValue)
	case s.maxTokensValue < 0:
		return usagef("--max-tokens: %d is negative", s.maxTokensValue)
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
