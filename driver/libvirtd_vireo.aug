(* /etc/libvirt/vireo.conf *)

module Libvirtd_vireo =
   autoload xfm

   let eol   = del /[ \t]*\n/ "\n"
   let value_sep   = del /[ \t]*=[ \t]*/  " = "
   let indent = del /[ \t]*/ ""

   let array_sep  = del /,[ \t\n]*/ ", "
   let array_start = del /\[[ \t\n]*/ "[ "
   let array_end = del /\]/ "]"

   let str_val = del /\"/ "\"" . store /[^\"]*/ . del /\"/ "\""
   let bool_val = store /0|1/
   let int_val = store /[0-9]+/
   let str_array_element = [ seq "el" . str_val ] . del /[ \t\n]*/ ""
   let str_array_val = counter "el" . array_start . str_array_element . ( array_sep . str_array_element ) * . array_end

   let str_entry       (kw:string) = [ key kw . value_sep . str_val ]
   let bool_entry      (kw:string) = [ key kw . value_sep . bool_val ]
   let int_entry       (kw:string) = [ key kw . value_sep . int_val ]
   let str_or_array_entry (kw:string) = [ key kw . value_sep . ( str_val | str_array_val ) ]

   let security_entry = str_entry "user"
                 | str_entry "group"
                 | bool_entry "dynamic_ownership"
                 | str_or_array_entry "security_driver"
                 | bool_entry "security_default_confined"

   let screen_entry = str_entry "vnc_listen"
                 | bool_entry "vnc_auto_unix_socket"
                 | str_entry "vnc_password"
                 | bool_entry "vnc_tls"
                 | str_entry "vnc_tls_x509_cert_dir"
                 | bool_entry "vnc_tls_x509_verify"

   let disk_entry = str_entry "nbd_tls_x509_cert_dir"

   let process_entry = str_entry "vireo_binary"
                 | str_entry "bios"
                 | str_entry "stdio_handler"
                 | int_entry "max_processes"
                 | int_entry "max_files"
                 | int_entry "max_core"

   let entry = security_entry | screen_entry | disk_entry | process_entry
   let comment = [ label "#comment" . del /#[ \t]*/ "# " .  store /([^ \t\n][^\n]*)?/ . del /\n/ "\n" ]
   let empty = [ label "#empty" . eol ]

   let record = indent . entry . eol

   let lns = ( record | comment | empty ) *

   let filter = incl "/etc/libvirt/vireo.conf"
              . Util.stdexcl

   let xfm = transform lns filter
