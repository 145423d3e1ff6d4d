package cli

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/bench"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/disk"
)

func newBenchCompareCommand(a *app) *cobra.Command {
	var asJSON, anyway bool
	cmd := &cobra.Command{
		Use:   "compare A.json B.json [A-AGAIN.json]",
		Short: "Say whether B is faster or slower than A, or that one cannot tell",
		Long: `Compare two reports of the same load, figure by figure: the medians over their rounds,
the change with its 95 % interval (a bootstrap over the rounds), and a verdict: faster,
slower, or cannot tell. A verdict takes 4 rounds of each side, an interval that does
not reach 0, and an exact rank-sum test that chance alone would pass in less than 5 of
100 cases.

What changes on the machine between the two looks like a difference. So measure A
again after B: with A-AGAIN.json a figure is judged only where both say the same.`,
		Example: `  semantic bench --rounds 6 --out before && … && semantic bench --rounds 6 --out after
  semantic bench compare before.json after.json
  semantic bench compare before.json after.json before-again.json`,
		Args: args(cobra.RangeArgs(2, 3)),
		RunE: func(_ *cobra.Command, files []string) error {
			reports, err := readReports(files)
			if err != nil {
				return err
			}
			var again *bench.Report
			if len(reports) == 3 {
				again = reports[2]
			}
			c, err := bench.Compare(reports[0], reports[1], again, anyway)
			switch {
			case errors.As(err, new(*bench.MismatchError)):
				return &usageError{err: withHint(err, "--anyway compares them all the same.")}
			case err != nil:
				return err
			case asJSON:
				return a.printJSON(c)
			}
			return a.printf("%s", c.Text())
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&anyway, "anyway", false, "compare reports of different loads")
	return cmd
}

// readReports reads them all.
func readReports(files []string) ([]*bench.Report, error) {
	var reports []*bench.Report
	for _, file := range files {
		r, err := bench.ReadReport(file)
		if err != nil {
			return nil, &usageError{err: err}
		}
		reports = append(reports, r)
	}
	return reports, nil
}

// summaryRun is one run of bench summary.
type summaryRun struct {
	app                           *app
	limits                        bench.Limits
	out, title, repeat, threshold string
}

func newBenchSummaryCommand(a *app) *cobra.Command {
	s := &summaryRun{app: a, limits: bench.DefaultLimits()}
	cmd := &cobra.Command{
		Use:   "summary REPORT.json...",
		Short: "Say up to which of several loads a machine is fit, and what gives way first",
		Long: `Put several loads of the same kind into one page: latency and throughput by load, the
largest load that is fit for production, what gives way first beyond it, and the
thresholds of alarms that follow. --out NAME writes NAME.md and NAME.svg.`,
		Example: `  for n in 1 8 50 100; do semantic bench --concurrency $n --out users-$n; done
  semantic bench summary users-*.json --out baseline --thresholds thresholds.json`,
		Args: args(cobra.MinimumNArgs(1)),
		RunE: func(_ *cobra.Command, files []string) error { return s.run(files) },
	}
	flags, d := cmd.Flags(), s.limits
	flags.DurationVar(&s.limits.LessDecode, "less-decode", d.LessDecode, "most `TIME` that 95 of 100 fit requests take less their decode")
	flags.DurationVar(&s.limits.InterToken, "inter-token", d.InterToken, "most `TIME` between 95 of 100 tokens of fit requests")
	flags.Float64Var(&s.limits.Factor, "factor", d.Factor, "how many `TIMES` what was measured a threshold is")
	flags.StringVar(&s.out, "out", "", "`NAME` of the page and the picture, without their endings")
	flags.StringVar(&s.title, "title", "Load and latency", "`HEADING` of the page")
	flags.StringVar(&s.repeat, "repeat", "", "`COMMAND` that makes the page anew, to be said on it")
	flags.StringVar(&s.threshold, "thresholds", "", "write the thresholds of alarms to the JSON `FILE`")
	return cmd
}

func (s *summaryRun) run(files []string) error {
	reports, err := readReports(files)
	if err != nil {
		return err
	}
	summary, err := bench.Summarize(reports, s.limits)
	if errors.As(err, new(*bench.MismatchError)) {
		return &usageError{err: err}
	}
	if err != nil {
		return benchFault(err)
	}
	if s.out != "" {
		if err := disk.WriteFile(s.out+".svg", summary.SVG()); err != nil {
			return err
		}
		if err := disk.WriteFile(s.out+".md", summary.Markdown(s.out, s.title, s.repeat)); err != nil {
			return err
		}
	}
	if s.threshold != "" {
		if err := s.writeThresholds(summary); err != nil {
			return err
		}
	}
	for _, sentence := range summary.Verdict() {
		if err := s.app.printf("%s\n", sentence); err != nil {
			return err
		}
	}
	return nil
}

func (s *summaryRun) writeThresholds(summary *bench.Summary) error {
	t, err := summary.Thresholds()
	if err != nil {
		return err
	}
	text, err := t.JSON()
	if err != nil {
		return err
	}
	return disk.WriteFile(s.threshold, text)
}
