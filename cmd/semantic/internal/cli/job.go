package cli

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

// maxJobFile bounds a job that is read from a file, in bytes: as the queue does.
const maxJobFile = 64 << 20

func newJobCommand(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use:   "job",
		Short: "Make and check jobs for the queue",
		Long: `Make and check the JSON documents that the queue takes, for programs that publish
jobs straight to NATS.`,
		Example: `  semantic job new "Hello" > job.json
  semantic job validate job.json`,
	}, newJobNewCommand(a), newJobValidateCommand(a))
}

func newJobNewCommand(a *app) *cobra.Command {
	var job jobFlags
	var subject bool
	cmd := &cobra.Command{
		Use:   "new [PROMPT]",
		Short: "Print a job as JSON, or the subject that it belongs to",
		Long: `Print a job as JSON, to be published to the subject that --subject prints.
Without a PROMPT, or with -, the prompt is read from stdin.`,
		Example: `  semantic job new --model smollm2-135m-instruct --max-tokens 50 "Hello" > job.json
  nats request --raw "$(semantic job new --model smollm2-135m-instruct --subject Hello)" "$(cat job.json)"`,
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, given []string) error {
			c, err := a.config()
			if err != nil {
				return err
			}
			class, err := job.jobClass()
			if err != nil {
				return err
			}
			if !subject && class != schemas.ClassNormal {
				return usagef("--class: the class is in the subject and not in the job: give it with --subject")
			}
			model, err := a.modelName(c)
			if err != nil {
				return err
			}
			if model == "" {
				return usagef("--model: want a model's name, not a file")
			}
			prompt, err := a.promptFrom(given)
			if err != nil {
				return err
			}
			j, err := job.build(cmd, prompt)
			if err != nil {
				return err
			}
			j.Model = model
			if err := errors.Join(j.Validate(), queue.DefaultConfig().CheckDeadline(j)); err != nil {
				return jobFault(err)
			}
			if subject {
				flow := queue.Flow(queue.OwnerLocal, j)
				return a.printf("%s\n", queue.JobSubject(model, class, flow, queue.OwnerLocal))
			}
			return a.printJSON(j)
		},
	}
	addConfigFlags(cmd, "model")
	job.add(cmd)
	cmd.Flags().BoolVar(&subject, "subject", false, "print the subject to publish to, of the owner local, instead of the job")
	return cmd
}

func newJobValidateCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "validate FILE",
		Short: "Check a job as a worker would",
		Long: `Check a job (- reads stdin) exactly as a worker does before it runs it: the first
field at fault is named by its path, and the exit code is 1.`,
		Example: `  semantic job validate job.json
  semantic job new "Hello" | semantic job validate -`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, given []string) error {
			text, err := a.readFile(given[0])
			if err != nil {
				return err
			}
			job, err := schemas.DecodeJob(text)
			if errors.Is(err, schemas.ErrNewerVersion) {
				return withHint(err, "A newer semantic made it; this one hands it back to the queue.")
			}
			if err == nil {
				err = queue.DefaultConfig().CheckDeadline(job)
			}
			if err != nil {
				return withHint(err, "`semantic schema job` prints what a job may hold.")
			}
			what, count := "messages", len(job.Messages)
			if job.Kind == schemas.KindCompletion {
				what, count = "prompts", len(job.Prompts)
			}
			return a.printf("valid: a job of version %d for %s, %s: %d\n", job.Version, job.Model, what, count)
		},
	}
}

// readFile reads a file, or stdin for -.
func (a *app) readFile(name string) ([]byte, error) {
	in := a.In
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("read the job: %w", err)
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxJobFile+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if len(text) > maxJobFile {
		return nil, fmt.Errorf("%s is longer than %d bytes", name, maxJobFile)
	}
	return text, nil
}
