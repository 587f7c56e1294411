package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"sallyport/internal/config"
	"sallyport/internal/fault"
	"sallyport/internal/guard"
	"sallyport/internal/masterkey"
	"sallyport/internal/masterkey/nodes"
	"sallyport/internal/monitor"
	"sallyport/internal/monitor/n8nlog"
)

// watching is what `watch` was called with.
type watching struct {
	logs             []string
	listen, textfile string
	fromStart        bool
	verify           time.Duration

	keys keyVerification
}

const textfileEvery = 15 * time.Second

func (e *env) watch() *cobra.Command {
	var w watching
	cmd := &cobra.Command{
		Use:   "watch",
		Short: "Watch n8n's nodes: what their logs say of credentials, and whether they have one master key",
		Long: `Reads the logs of n8n's nodes, and prints an event, one line of JSON, for each problem that n8n tells of: a credential that it
cannot decrypt, or that is gone, a node with another master key or none. The same is counted, and told on /metrics.

--n8n-logs, as often as there are logs, takes [NODE=] before one of these:

  FILE                                 a file, through rotation and truncation
  -                                    standard input
  docker:CONTAINER[?host=URL]          a container's log, through restarts
  kubernetes:NAMESPACE/SELECTOR        the pods of a selector, each a node of its own, with ?kubeconfig=FILE&context=NAME
                                       &container=NAME behind it where need be; within a pod, as its service account

What is there already is not read, but for standard input and with --from-start. n8n writes more with N8N_LOG_FORMAT=json: the
credential's id, name and type, and how executions ended.

With --verify-keys every node is asked for its master key's fingerprint as 'sallyport key verify' does it, with the same flags.

It needs no gate and no configuration, and ends with the logs, or with SIGINT or SIGTERM.`,
		Example: `  sallyport watch --n8n-logs main=docker:n8n --n8n-logs worker=/var/log/n8n/n8n.log
  sallyport watch --n8n-logs kubernetes:prod/app=n8n --listen :8474
  sallyport watch --verify-keys 10m --docker-label com.docker.compose.project=n8n --database-file n8n-db.url --key-file n8n.key`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			sources, err := w.check(cmd, e)
			if err != nil {
				return err
			}
			return e.watchNodes(cmd.Context(), &w, sources)
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&w.logs, "n8n-logs", nil, "read this log: [NODE=]LOG, see above; repeatable")
	f.BoolVar(&w.fromStart, "from-start", false, "read what is in files already")
	f.StringVar(&w.listen, "listen", "127.0.0.1:8474",
		"address to serve /metrics on; it tells names of credentials to nobody. \"\": none")
	f.StringVar(&w.textfile, "textfile", "", "write the metrics to this file too, for node_exporter: NAME.prom")
	f.DurationVar(&w.verify, "verify-keys", 0,
		"ask every node for its master key this often, such as 10m (default: never)")
	w.keys.fleet.flags(cmd)
	return cmd
}

func (o *watching) check(cmd *cobra.Command, e *env) (sources []n8nlog.Named, err error) {
	for _, text := range o.logs {
		one, err := n8nlog.Parse(text, e.In, o.fromStart)
		if err != nil {
			return nil, usage(err, fault.HintOf(err))
		}
		sources = append(sources, one)
	}
	if err := n8nlog.Distinct(sources); err != nil {
		return nil, usage(err, fault.HintOf(err))
	}
	asks := o.keys.fleet.asked()
	switch {
	case len(sources) == 0 && !asks:
		return nil, usage(errors.New("there is nothing to watch"),
			"name a log with --n8n-logs, or nodes with --verify-keys")
	case asks && o.verify == 0:
		return nil, usage(errors.New("these flags say which nodes are asked for their key, and nothing says how often"),
			"add --verify-keys 10m")
	case o.verify != 0 && o.verify < 10*time.Second:
		return nil, usage(errors.New("--verify-keys is too often"), "at least 10s")
	case o.verify != 0:
		return sources, o.keys.check(cmd)
	}
	return sources, nil
}

// watchNodes watches until the logs end, or ctx does.
func (e *env) watchNodes(ctx context.Context, o *watching, sources []n8nlog.Named) error {
	ctx, stop := context.WithCancel(ctx)
	log := e.logger(config.Log{Level: "info", Format: "text"})
	broke := func(why *fault.Panic) {
		if why.Tell() {
			log.ErrorContext(ctx, "watching ended in a panic: this is a mistake in Sallyport",
				"what", why.What, "stack", why.Stack)
		}
	}
	w := &n8nlog.Watcher{Now: time.Now, Log: log, Event: e.event(log), Broke: broke}
	metrics := monitor.NewWatch(w, broke)
	server, err := o.serve(ctx, metrics)
	if err != nil {
		stop()
		return err
	}
	var beside guard.Group
	if server != nil {
		beside.Go("serving metrics", func() { server.run(log) })
	}
	if o.textfile != "" {
		beside.Go("writing metrics", func() { o.write(ctx, metrics, log) })
	}
	if o.verify != 0 {
		beside.Go("verifying keys", func() {
			guard.Loop(ctx, "verifying keys", func(ctx context.Context) { e.verifyAgain(ctx, o, w, log) }, broke)
		})
	}
	if len(sources) > 0 {
		err = w.Watch(ctx, sources)
	} else {
		<-ctx.Done()
	}
	stop()
	if server != nil {
		err = errors.Join(err, server.close())
	}
	beside.Wait()
	if o.textfile != "" {
		err = errors.Join(err, metrics.Write(o.textfile))
	}
	return err
}

// event prints an event as one line of JSON.
func (e *env) event(log *slog.Logger) func(n8nlog.Event) {
	encoder := json.NewEncoder(e.Out)
	return func(ev n8nlog.Event) {
		if err := encoder.Encode(ev); err != nil {
			log.Error("writing an event", "error", err)
		}
	}
}

// metricsServer serves /metrics of a process that is no gate.
type metricsServer struct {
	*http.Server

	listener net.Listener
}

func (o *watching) serve(ctx context.Context, metrics *monitor.Watch) (*metricsServer, error) {
	if o.listen == "" {
		return nil, nil //nolint:nilnil // it is not wanted
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", o.listen)
	if err != nil {
		return nil, fault.WithHint(fmt.Errorf("listening for /metrics: %w", err),
			"--listen HOST:PORT names another address, and --listen '' none")
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics.Handler())
	mux.Handle("GET /healthz", monitor.Alive())
	return &metricsServer{&http.Server{
		Handler: mux, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 10 * time.Second, IdleTimeout: time.Minute,
		MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
	}, l}, nil
}

func (s *metricsServer) run(log *slog.Logger) {
	log.Info("serving metrics", "address", "http://"+s.listener.Addr().String()+"/metrics")
	if err := s.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		log.Error("serving metrics", "error", err)
	}
}

func (s *metricsServer) close() error { return s.Close() }

// write writes the metrics from time to time.
func (o *watching) write(ctx context.Context, metrics *monitor.Watch, log *slog.Logger) {
	tick := time.NewTicker(textfileEvery)
	defer tick.Stop()
	for {
		if err := metrics.Write(o.textfile); err != nil {
			log.ErrorContext(ctx, "writing the metrics", "file", o.textfile, "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// verifyAgain asks every node for its key from time to time.
func (e *env) verifyAgain(ctx context.Context, o *watching, w *n8nlog.Watcher, log *slog.Logger) {
	tick := time.NewTicker(o.verify)
	defer tick.Stop()
	for {
		v := o.keys
		if v.nonceFile == "" {
			v.nonce = masterkey.NewNonce() // fingerprints of one time are of no use at another
		}
		report, err := e.askFleet(ctx, v)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			log.ErrorContext(ctx, "asking the nodes for their master key", "error", err, "hint", fault.HintOf(err))
		default:
			w.Keys(rightKeys(&report, log))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// database is the node that stands for the key which the nodes are compared with: it has to open n8n's database.
const databaseNode = "(database)"

// rightKeys are the nodes that could be asked, with whether their key is right. Where nodes differ and nothing says
// which key is right, none is.
func rightKeys(r *nodes.Report, log *slog.Logger) map[string]bool {
	right := make(map[string]bool)
	if r.Reference != nil && r.Reference.Database != nil {
		result := r.Reference.Database.Result
		right[databaseNode] = result == nodes.Match || result == nodes.Unproven
	}
	for i := range r.Nodes {
		row := &r.Nodes[i]
		if row.Error != "" {
			log.Warn("a node could not be asked for its master key", "node", row.Name, "error", row.Error,
				"hint", row.Hint)
			continue
		}
		right[row.Name] = row.Match == nodes.Yes
	}
	return right
}
