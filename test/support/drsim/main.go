// One simulated vCenter a process, on govmomi's simulator library. Lives as long as its standard input.
package main

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"log"
	"net/url"
	"os"
	"reflect"
	"unsafe"

	"github.com/google/uuid"
	"github.com/vmware/govmomi/simulator"
)

func main() {
	log.SetFlags(0)
	m := simulator.VPX()
	// No host of its own beside the cluster: then there is one resource pool, and -vm is the number of all machines.
	m.Host = 0
	flag.IntVar(&m.Machine, "vm", 3, "virtual machines")
	flag.IntVar(&m.ClusterHost, "host", 2, "hosts of the cluster")
	flag.IntVar(&m.Datastore, "ds", 2, "datastores")
	flag.IntVar(&m.Portgroup, "pg", 2, "distributed port groups")
	flag.IntVar(&m.DelayConfig.Delay, "delay", 0, "ms before each answer")
	flag.DurationVar(&simulator.SessionIdleTimeout, "session-timeout", 0, "life of an idle session; for ever unless told")
	first := flag.Int64("first", 0, "number after which those of new objects begin")
	apiVersion := flag.String("api", m.ServiceContent.About.ApiVersion, "version that it claims")
	flag.Parse()

	// The library gives every vCenter the same identity.
	m.ServiceContent.About.InstanceUuid = uuid.New().String()
	m.ServiceContent.About.ApiVersion = *apiVersion
	m.ServiceContent.About.Version = *apiVersion
	// Its datastores are folders: all of them under one that goes at the end.
	folder, err := os.MkdirTemp("", "ws-drsim-")
	if err == nil {
		err = os.Setenv("TMPDIR", folder)
	}
	if err == nil {
		err = m.Create()
	}
	if err != nil {
		log.Fatal(err)
	}
	if *first > 0 {
		// Two vCenters whose machines must not have the same references; the library offers no way.
		counter := reflect.ValueOf(simulator.Map).Elem().FieldByName("counter")
		*(*int64)(unsafe.Pointer(counter.UnsafeAddr())) = *first
	}
	m.Service.Listen = &url.URL{Host: "127.0.0.1:0"}
	// Without one any name and password will do.
	if user := os.Getenv("DRSIM_USER"); user != "" {
		m.Service.Listen.User = url.UserPassword(user, os.Getenv("DRSIM_PASSWORD"))
	}
	m.Service.TLS = new(tls.Config)
	server := m.Service.NewServer()
	pin := sha256.Sum256(server.Certificate().Raw)
	fmt.Println("READY", server.URL.Host, hex.EncodeToString(pin[:]), folder)

	_, _ = io.Copy(io.Discard, os.Stdin)
	_ = os.RemoveAll(folder)
}
