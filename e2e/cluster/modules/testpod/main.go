// Testpod is what runs in the pods of the cluster's own tests: a server, and the few commands that a
// test runs beside it.
//
//	testpod serve            answer every request on port 8080, log each one
//	testpod get URL          print the body that a URL answers with
//	testpod lookup NAME      print the addresses of a name
//	testpod write FILE TEXT  write a file
//	testpod read FILE        print a file
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(words []string) error {
	switch {
	case len(words) == 1 && words[0] == "serve":
		return serve()
	case len(words) == 2 && words[0] == "get":
		return get(words[1])
	case len(words) == 2 && words[0] == "lookup":
		addresses, err := net.LookupHost(words[1])
		fmt.Println(addresses)
		return err
	case len(words) == 3 && words[0] == "write":
		return os.WriteFile(words[1], []byte(words[2]), 0o640)
	case len(words) == 2 && words[0] == "read":
		content, err := os.ReadFile(words[1])
		fmt.Print(string(content))
		return err
	}
	return fmt.Errorf("unknown command %q", words)
}

func serve() error {
	name, err := os.Hostname()
	if err != nil {
		return err
	}
	http.HandleFunc("/", func(answer http.ResponseWriter, request *http.Request) {
		fmt.Println("served", request.URL.Path)
		fmt.Fprintf(answer, "hello from %s\n", name)
	})
	return http.ListenAndServe(":8080", nil)
}

func get(url string) error {
	client := http.Client{Timeout: 5 * time.Second}
	answer, err := client.Get(url)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	_, err = io.Copy(os.Stdout, answer.Body)
	return err
}
