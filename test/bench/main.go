// Command bench measures a scan of generated objects beside decoding alone: the
// least processor time and the most memory of several runs of whole processes. It
// generates its input itself and passes no judgement on the figures.
//
//	go run ./test/bench -gabion ./gabion -objects 1000,10000,50000
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"go.yaml.in/yaml/v3"
)

func main() {
	objects := flag.String("objects", "1000,10000,50000", "numbers of objects")
	gabion := flag.String("gabion", "./gabion", "the program to measure")
	runs := flag.Int("runs", 5, "runs of each")
	decode := flag.String("decode", "", "only decode the files of a folder with the YAML library, then exit")
	generate := flag.String("generate", "", "only generate the first number of objects into a folder, then exit")
	flag.Parse()
	if err := run(*objects, *gabion, *runs, *decode, *generate); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(objects, gabion string, runs int, decode, generate string) error {
	if decode != "" {
		return decodeNodes(decode)
	}
	var sizes []int
	for _, s := range strings.Split(objects, ",") {
		n, err := strconv.Atoi(s)
		if err != nil {
			return err
		}
		sizes = append(sizes, n)
	}
	if generate != "" {
		_, err := write(generate, sizes[0])
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	fmt.Printf("| objects | MB | decoding alone, CPU s | scan, CPU s | ratio | objects per CPU s | peak memory, MB |\n|---|---|---|---|---|---|---|\n")
	for _, n := range sizes {
		if err := compare(n, runs, self, gabion); err != nil {
			return err
		}
	}
	version, _, err := costs(runs, []string{gabion, "version"}, []string{gabion, "version"})
	if err != nil {
		return err
	}
	fmt.Printf("\n`gabion version`: %.0f ms of wall time, %.0f MB\n", version.wall.Seconds()*1000, version.megabytes)
	return nil
}

func compare(n, runs int, self, gabion string) error {
	dir, err := os.MkdirTemp("", "gabion-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	size, err := write(dir, n)
	if err != nil {
		return err
	}
	alone, scan, err := costs(runs, []string{self, "-decode", dir}, []string{gabion, "scan", dir, "-o", "json"})
	if err != nil {
		return err
	}
	fmt.Printf("| %d | %.1f | %.2f | %.2f | %.2f | %.0f | %.0f |\n", n, float64(size)/1e6, alone.cpu.Seconds(), scan.cpu.Seconds(),
		scan.cpu.Seconds()/alone.cpu.Seconds(), float64(n)/scan.cpu.Seconds(), scan.megabytes)
	return nil
}

// cost is what a process used.
type cost struct {
	cpu, wall time.Duration
	megabytes float64
}

// costs runs two commands by turns, so that both meet the same noise, and returns
// the least time of each, for noise only ever adds, and the most memory.
func costs(runs int, a, b []string) (ofA, ofB cost, err error) {
	for i := range runs {
		first, err := once(a)
		if err != nil {
			return ofA, ofB, err
		}
		second, err := once(b)
		if err != nil {
			return ofA, ofB, err
		}
		if i == 0 {
			ofA, ofB = first, second
		}
		ofA, ofB = ofA.and(first), ofB.and(second)
	}
	return ofA, ofB, nil
}

func (c cost) and(d cost) cost {
	return cost{min(c.cpu, d.cpu), min(c.wall, d.wall), max(c.megabytes, d.megabytes)}
}

// once runs a command. An exit code of 1 is a scan with findings.
func once(command []string) (c cost, err error) {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdout, cmd.Stderr = io.Discard, os.Stderr
	started := time.Now()
	err = cmd.Run()
	c.wall = time.Since(started)
	if code := (*exec.ExitError)(nil); err != nil && !(errors.As(err, &code) && code.ExitCode() == 1) {
		return c, fmt.Errorf("%q: %w", command, err)
	}
	c.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		c.megabytes = float64(usage.Maxrss) / 1000
	}
	return c, nil
}

// decodeNodes decodes every document with the YAML library and keeps nothing:
// the least that any program with positions has to do.
func decodeNodes(dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		return err
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		dec := yaml.NewDecoder(bytes.NewReader(data))
		for {
			var n yaml.Node
			if err := dec.Decode(&n); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return nil
}
