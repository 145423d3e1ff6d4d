package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/bench"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/config"
	"github.com/semantic-worker/semantic/schemas/openai"
)

// benchRun is one run of the bench command.
type benchRun struct {
	app      *app
	load     bench.Config
	scenario string
	arrivals string
	class    string
	prompts  string
	out      string
	asJSON   bool
}

func newBenchCommand(a *app) *cobra.Command {
	b := &benchRun{app: a, load: bench.DefaultConfig()}
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Put a load on a gateway or the queue, and measure what users feel",
		Long: `Put a load on a gateway, or with --nats straight on the queue, and measure what users
feel: time to first token, time between tokens, the whole request, the wait in the
queue, tokens a second, and errors by their code.

--concurrency is that many users, each of whom asks again when it was answered.
--rate is that many requests a second, whatever becomes of them: their latency counts
from the time when each was due, so that a server which stalls is charged for all who
would have come meanwhile.

What is asked:
` + scenarioHelp() + `
Answers are as long as the load says, whatever the model wants. The same --seed asks
the same. Ctrl-C ends it, and reports what there is. --out NAME writes NAME.json,
NAME.md, NAME.svg and every request in NAME.requests.jsonl, after each round.`,
		Example: `  semantic bench --concurrency 8 --duration 1m
  semantic bench --scenario agents --rate 0.5 --duration 5m --out agents
  semantic bench --prompts prompts.jsonl --rounds 5 --out before
  semantic bench compare before.json after.json
  semantic bench summary users-*.json`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.config()
			if err != nil {
				return err
			}
			return b.run(cmd, c)
		},
	}
	addConfigFlags(cmd, append(brokerFlags(), "url", "api-key", "model")...)
	b.add(cmd)
	cmd.AddCommand(newBenchCompareCommand(a), newBenchSummaryCommand(a))
	return cmd
}

func scenarioHelp() string {
	var b strings.Builder
	for _, s := range []struct {
		name bench.Scenario
		text string
	}{
		{bench.ScenarioChat, "short questions that have nothing in common"},
		{bench.ScenarioAgents, "agents whose conversations grow with every answer, for 8 turns"},
		{bench.ScenarioLongPrompt, "a long text, another one each time, and a short answer"},
		{bench.ScenarioBurst, fmt.Sprintf("chat, %d at the same moment (of users: all), then none for a while", bench.BurstSize)},
		{bench.ScenarioSharedPrefix, "short questions behind the same long text"},
		{bench.ScenarioMixedClasses, "chat, a third in each priority class"},
	} {
		fmt.Fprintf(&b, "  %-14s %s\n", s.name, s.text)
	}
	return b.String()
}

func (b *benchRun) add(cmd *cobra.Command) {
	flags, d := cmd.Flags(), b.load
	flags.StringVar(&b.scenario, "scenario", string(d.Scenario), "`WHAT` is asked, one of the above")
	flags.StringVar(&b.prompts, "prompts", "", "ask what is in the JSONL `FILE` instead: a prompt or messages a line")
	flags.Float64Var(&b.load.Rate, "rate", 0, "`REQUESTS` a second, whatever becomes of them")
	flags.StringVar(&b.arrivals, "arrivals", "", "`HOW` they come: poisson (default), constant or burst")
	flags.IntVar(&b.load.Concurrency, "concurrency", d.Concurrency, "`USERS` who each ask again when they were answered")
	flags.DurationVar(&b.load.WarmUp, "warmup", d.WarmUp, "`TIME` before it counts, of each round")
	flags.DurationVar(&b.load.Duration, "duration", d.Duration, "`TIME` that counts, of each round")
	flags.IntVar(&b.load.Rounds, "rounds", d.Rounds, "`TIMES` that all this is done; a comparison needs 4")
	flags.DurationVar(&b.load.Timeout, "timeout", d.Timeout, "`TIME` after which a request is cut")
	flags.IntVar(&b.load.MaxTokens, "max-tokens", d.MaxTokens, "longest answer in `TOKENS`; lengths are between the half of it and it")
	flags.IntVar(&b.load.Words, "words", d.Words, "`WORDS` of the long part of long-prompt and shared-prefix")
	flags.StringVar(&b.class, "class", "", "`CLASS` of all requests: interactive, normal or batch")
	flags.Uint64Var(&b.load.Seed, "seed", d.Seed, "`NUMBER` that times, prompts and lengths are drawn from")
	flags.StringVar(&b.out, "out", "", "`NAME` of the files to write, without their endings")
	flags.BoolVar(&b.asJSON, "json", false, "print the report as JSON")
}

// check completes the load by the flags, and refuses what does not go together.
func (b *benchRun) check(cmd *cobra.Command) ([]bench.Request, error) {
	given := cmd.Flags().Changed
	b.load.Scenario, b.load.Arrivals = bench.Scenario(b.scenario), bench.Arrivals(b.arrivals)
	b.load.Class = classOf(b.class)
	switch {
	case given("url") && given("nats"):
		return nil, usagef("--url and --nats exclude each other")
	case given("rate") && given("concurrency"):
		return nil, usagef("--rate and --concurrency exclude each other")
	case given("rate") && b.load.Rate == 0:
		return nil, usagef("--rate: 0 is not more than 0")
	case given("prompts") && given("scenario"):
		return nil, usagef("--prompts and --scenario exclude each other")
	case given("words") && b.load.Scenario != bench.ScenarioLongPrompt && b.load.Scenario != bench.ScenarioSharedPrefix:
		return nil, usagef("--words: has no meaning with --scenario %s", b.load.Scenario)
	}
	if b.out != "" {
		if dir, err := os.Stat(filepath.Dir(b.out)); err != nil || !dir.IsDir() {
			return nil, usagef("--out: there is no folder %s", filepath.Dir(b.out))
		}
	}
	var prompts []bench.Request
	if given("prompts") {
		b.load.Scenario = bench.ScenarioFile
		file, err := os.Open(b.prompts)
		if err != nil {
			return nil, usagef("--prompts: %v", err)
		}
		defer func() { _ = file.Close() }()
		if prompts, err = bench.ReadPrompts(file); err != nil {
			return nil, benchFault(err)
		}
	} else if b.load.Scenario == bench.ScenarioFile {
		return nil, usagef("--scenario: %q needs --prompts instead", b.scenario)
	}
	return prompts, benchFault(b.load.Validate())
}

// benchFault tells what is wrong with a load in the words of the command line.
func benchFault(err error) error {
	field := new(bench.FieldError)
	if errors.As(err, &field) {
		return usagef("--%s: %s", field.Field, field.Reason)
	}
	return err
}

func (b *benchRun) run(cmd *cobra.Command, c *config.Loaded) error {
	ctx := cmd.Context()
	prompts, err := b.check(cmd)
	if err != nil {
		return err
	}
	o := bench.Options{Config: b.load, Prompts: prompts, Release: b.app.Release}
	if prompts != nil {
		o.PromptsName = filepath.Base(b.prompts)
	}
	if cmd.Flags().Changed("nats") {
		closing, err := b.overNATS(ctx, c, &o)
		if err != nil {
			return stopOr(ctx, err)
		}
		defer closing()
	} else {
		closing, err := b.overHTTP(ctx, c, &o)
		if err != nil {
			return err
		}
		defer closing()
	}
	return b.measure(ctx, o)
}

// overHTTP puts the load on a gateway.
func (b *benchRun) overHTTP(ctx context.Context, c *config.Loaded, o *bench.Options) (closing func(), err error) {
	client := newChatClient(gatewayURL(c), c.APIKey, b.app.notef)
	defer client.close()
	all, err := client.models(ctx)
	if err != nil {
		return nil, err
	}
	o.Served = bench.Served{By: "http", Model: c.Model}
	if c.Model == "" {
		var names, ready []string
		for _, m := range all {
			names = append(names, m.ID)
			if m.Semantic.Status == openai.StatusReady {
				ready = append(ready, m.ID)
			}
		}
		if o.Served.Model, err = onlyModel(names, ready); err != nil {
			return nil, err
		}
	}
	for _, m := range all {
		if m.ID != o.Served.Model {
			continue
		}
		for _, w := range m.Semantic.Workers {
			o.Served.Workers = append(o.Served.Workers, bench.ServedBy{
				Backend: w.Backend, Quantisation: w.Quantisation, Fingerprint: w.Fingerprint, Context: w.Context, Capacity: w.Capacity,
			})
		}
	}
	target := bench.NewHTTP(client.base, c.APIKey, o.Served.Model)
	o.Target = target
	return target.Close, nil
}

// overNATS puts the load on the queue.
func (b *benchRun) overNATS(ctx context.Context, c *config.Loaded, o *bench.Options) (closing func(), err error) {
	if c.Source("log-level") == "default" {
		b.app.Log = discardLog() // the terminal is for the progress
	}
	broker, err := b.app.brokerOptions(c, "semantic bench")
	if err != nil {
		return nil, err
	}
	q, err := b.app.connect(ctx, broker)
	if err != nil {
		return nil, err
	}
	closing = func() { b.app.closeQueue(ctx, q) }
	if o.Served, err = servedOverNATS(ctx, q, c.Model); err != nil {
		closing()
		return nil, err
	}
	o.Target = bench.NewNATS(q, o.Served.Model)
	return closing, nil
}

// measure runs the load and tells what it found.
func (b *benchRun) measure(ctx context.Context, o bench.Options) error {
	if b.out != "" {
		o.RoundDone = func(r *bench.Report) error { return r.Write(b.out) }
	}
	show := newBenchProgress(b.app.Err, terminal(b.app.Err))
	o.Progress, o.ProgressEvery = show.show, show.every
	report, err := bench.Run(ctx, o)
	show.end()
	switch {
	case errors.Is(err, bench.ErrNothing):
		return withCode(err, exitInterrupted)
	case err != nil:
		return err
	case b.asJSON:
		err = b.app.printJSON(report)
	default:
		err = b.app.printf("%s", report.Text())
	}
	switch {
	case err != nil:
		return err
	case report.Interrupted:
		return withCode(errSilent, exitInterrupted)
	case report.All.Requests > 0 && report.All.OK == 0:
		return withHint(errors.New("no request was answered"), "The codes above say why.")
	}
	if b.out != "" {
		b.app.notef("Written: %s.{json,md,svg,requests.jsonl}\n", b.out)
	}
	return nil
}
