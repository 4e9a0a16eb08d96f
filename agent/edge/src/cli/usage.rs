//! The words of `help`.

pub(super) const SHORT: &str = "usage: fieldmouse COMMAND; `fieldmouse help` lists the commands";

pub(super) const LONG: &str = "\
fieldmouse: judges host and sensor telemetry on the device, and tells what matters

usage: fieldmouse COMMAND [OPTIONS]

  run                         the agent, in the foreground
  check                       validate the configuration and print what is in force
  once [--json]               sample every source once and print the readings and their quality
  status [--json]             ask the running agent: sources, episodes, outbox, link, model, cost
  doctor [--json]             why nothing arrives: what is wrong here, how that shows, and what to do
  outbox check DIR            what stands in an outbox, what is damaged, and what a start would make of it
  outbox repair DIR           what a start does with a damaged outbox, without starting
  replay FILE.csv             recorded telemetry through the same pipeline, faster than real time
      [--scores OUT.csv] [--events OUT.jsonl]
      [--state-in FILE] [--state-out FILE]
  replay --capsule FILE       the scores of a capsule once more, and whether they are those of the device
      [--scores OUT.csv] [--events OUT.jsonl]
  capsule list [--json]       what was kept of the readings around episodes
  capsule get ID --out FILE   a copy of one
  logs FILE --templates OUT.csv
                              of which statement each line is: line,template_id,template, values masked
  record FILE.csv --for 60s   write readings, one row a tick, for `replay`
  drill list | NAME           a labelled fault, and whether and when the running agent saw it
  event KIND --text TEXT      hand a fact to the running agent (deployments, jobs); returns when it is durable
      [--severity info|warning|error]
  event job|deployment --name NAME --status running|succeeded|failed|cancelled
      [--duration SPAN|SECONDS] [--id ID] [--branch NAME] [--commit ID] [--environment NAME]
                              a run, which is compared with the runs before it: slow or failing ones are told
  maintenance start --for SPAN --text TEXT
      [--match PATTERN]       from now on nothing alerts and nothing is learnt, of these series or of all
  maintenance end             it is over before its time
  model show [FILE]           what a model is: contract, shapes, operators
  model check [FILE]          whether it keeps the contract, what it costs, and how it agrees with golden vectors beside it
      [--contract score/1]    for a file that does not say which
  decode FILE                 a wire message in JSON (`-`: standard input)
  help, version

options: --config FILE (default /etc/fieldmouse/fieldmouse.toml and conf.d beside it)
exit codes: 0 fine, 1 failed while running, 2 usage, 78 configuration
";
