// The simulated hosts' end inside PowerShell: whatever a cmdlet is asked for goes to the twin as one line of JSON, and one comes back.
using System;
using System.Collections;
using System.Collections.Concurrent;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Management.Automation;
using System.Net.Sockets;
using System.Text;
using System.Text.Json.Nodes;
using System.Threading;

namespace Warmsite.Mock
{
    // An object of the twin. What it is, only the twin knows: here it is a number and the names of its properties.
    public class TwinObject
    {
        internal int Reference;
        JsonObject properties;
        int asOf;

        // All at once, as they are since a cmdlet has run last: a request asks for many of an object.
        internal object Read(string name)
        {
            if (properties is null || asOf != Twin.Runs) properties = (JsonObject)Twin.Ask(new JsonObject { ["read"] = Reference })["properties"];
            asOf = Twin.Runs;
            return Values.Decode(properties[name]);
        }

        public override string ToString() => (string)Twin.Ask(new JsonObject { ["text"] = Reference })["text"];
    }

    // Looked up as it is asked for: objects lead to others without end.
    sealed class TwinProperty : PSNoteProperty
    {
        readonly TwinObject twin;

        public TwinProperty(TwinObject twin, string name) : base(name, null) { this.twin = twin; }

        public override object Value
        {
            get => twin.Read(Name);
            set => throw new SetValueException(Name + " is read-only");
        }

        public override PSMemberInfo Copy() => new TwinProperty(twin, Name);
    }

    public abstract class TwinCmdlet : PSCmdlet
    {
        protected override void ProcessRecord()
        {
            var about = (CmdletAttribute)Attribute.GetCustomAttribute(GetType(), typeof(CmdletAttribute));
            var name = about.VerbName + "-" + about.NounName;
            if (!about.SupportsShouldProcess || ShouldProcess(name)) Twin.Run(this, name);
        }
    }

    public static class Twin
    {
        static readonly HashSet<string> Common = new HashSet<string>(Cmdlet.CommonParameters.Concat(Cmdlet.OptionalCommonParameters), StringComparer.OrdinalIgnoreCase);
        static readonly BlockingCollection<string> Lines = new BlockingCollection<string>();
        static StreamWriter writer;
        internal static int Runs;

        // Opens a session at a host. What comes back says why not, or which modules the host has.
        public static JsonObject Connect(string path, string host, string username, string password)
        {
            var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            socket.Connect(new UnixDomainSocketEndPoint(path));
            var stream = new NetworkStream(socket, true);
            writer = new StreamWriter(stream, new UTF8Encoding(false)) { AutoFlush = true, NewLine = "\n" };
            new Thread(() => Read(new StreamReader(stream, Encoding.UTF8))) { IsBackground = true }.Start();
            return Ask(new JsonObject { ["open"] = host, ["username"] = username, ["password"] = password });
        }

        // A host that is gone takes the session with it, also while nobody asks anything.
        static void Read(StreamReader reader)
        {
            try { for (var line = reader.ReadLine(); line != null; line = reader.ReadLine()) Lines.Add(line); }
            catch (IOException) { }
            Environment.Exit(1);
        }

        internal static JsonObject Ask(JsonObject question)
        {
            lock (Lines)
            {
                try { writer.WriteLine(question.ToJsonString()); }
                catch (IOException) { }
                return (JsonObject)JsonNode.Parse(Lines.Take());
            }
        }

        public static void Run(PSCmdlet cmdlet, string name)
        {
            var given = cmdlet.MyInvocation.BoundParameters;
            var bound = new JsonObject();
            foreach (var pair in given) if (!Common.Contains(pair.Key)) bound[pair.Key] = Values.Encode(pair.Value);
            // A cmdlet that is to stop goes on with no other object.
            var stops = given.TryGetValue("ErrorAction", out var action) && (ActionPreference)action == ActionPreference.Stop;
            Runs++;
            var answer = Ask(new JsonObject { ["run"] = name, ["set"] = cmdlet.ParameterSetName, ["bound"] = bound, ["collect"] = !stops });
            foreach (var warning in (JsonArray)answer["warnings"]) cmdlet.WriteWarning((string)warning);
            foreach (var failure in (JsonArray)answer["failures"]) cmdlet.WriteError(RecordOf((JsonObject)failure));
            foreach (var found in (JsonArray)answer["objects"]) cmdlet.WriteObject(Values.Decode(found));
            if (answer["failure"] is JsonObject end) cmdlet.ThrowTerminatingError(RecordOf(end));
        }

        static ErrorRecord RecordOf(JsonObject failure)
        {
            var hresult = (int)failure["hresult"];
            var innerHresult = (int)failure["innerHresult"];
            var inner = hresult == innerHresult ? null : new Exception("what the host itself says") { HResult = innerHresult };
            var type = Values.TypeNamed((string)failure["type"]) ?? throw new InvalidOperationException("no exception is called " + failure["type"]);
            var exception = (Exception)Activator.CreateInstance(type, (string)failure["message"], inner);
            exception.HResult = hresult;
            var category = (ErrorCategory)Enum.Parse(typeof(ErrorCategory), (string)failure["category"]);
            var target = (string)failure["target"];
            return new ErrorRecord(exception, (string)failure["fqid"], category, target == "" ? null : target);
        }
    }

    // Values on the line: what JSON has not is an object with one key, which says what it is.
    static class Values
    {
        internal static JsonNode Encode(object value)
        {
            if (value is PSObject wrapped) value = wrapped.BaseObject;
            switch (value)
            {
                case null: return null;
                case TwinObject twin: return new JsonObject { ["$ref"] = twin.Reference };
                case string text: return text;
                case bool truth: return truth;
                case SwitchParameter flag: return (bool)flag;
                case Guid id: return Typed("guid", id.ToString());
                case DateTime date: return Typed("date", date.ToUniversalTime().ToString("o", CultureInfo.InvariantCulture));
                case TimeSpan span: return new JsonObject { ["$typed"] = "milliseconds", ["value"] = span.TotalMilliseconds };
                case Enum member: return member.ToString();
                case byte or ushort or uint or ulong: return Typed(value is byte ? "uint8" : value is ushort ? "uint16" : value is uint ? "uint32" : "uint64", Text(value));
                case short or int: return Convert.ToInt32(value);
                case long number: return Math.Abs((decimal)number) < 1L << 53 ? number : Typed("int64", Text(number));
                case double or float: return Convert.ToDouble(value);
                case IDictionary map:
                    var members = new JsonObject();
                    foreach (DictionaryEntry entry in map) members[(string)entry.Key] = Encode(entry.Value);
                    return new JsonObject { ["$map"] = members };
                case IEnumerable list: return new JsonArray(list.Cast<object>().Select(Encode).ToArray());
                default: return value.ToString();
            }
        }

        static string Text(object number) => Convert.ToString(number, CultureInfo.InvariantCulture);
        static JsonObject Typed(string type, string value) => new JsonObject { ["$typed"] = type, ["value"] = value };

        internal static object Decode(JsonNode node)
        {
            if (node is null) return null;
            if (node is JsonArray list) return list.Select(Decode).ToArray();
            if (node is not JsonObject tagged)
            {
                var plain = node.AsValue();
                if (plain.TryGetValue<bool>(out var truth)) return truth;
                return plain.TryGetValue<string>(out var text) ? text : plain.TryGetValue<int>(out var number) ? number : (object)plain.GetValue<double>();
            }
            if (tagged["$object"] is JsonNode reference) return ObjectOf((int)reference, (string)tagged["type"], (JsonArray)tagged["names"]);
            if (tagged["$map"] is JsonObject map) return map.ToDictionary(pair => pair.Key, pair => Decode(pair.Value));
            var value = (string)tagged["value"];
            switch ((string)tagged["$typed"])
            {
                case "date": return DateTime.Parse(value, CultureInfo.InvariantCulture, DateTimeStyles.RoundtripKind);
                case "span": return TimeSpan.FromMilliseconds(double.Parse(value, CultureInfo.InvariantCulture));
                case "guid": return Guid.Parse(value);
                case "enum": return Enum.ToObject(TypeNamed((string)tagged["type"]), int.Parse(value, CultureInfo.InvariantCulture));
                case var number: return Convert.ChangeType(decimal.Parse(value, CultureInfo.InvariantCulture), Type.GetType("System." + number), CultureInfo.InvariantCulture);
            }
        }

        static PSObject ObjectOf(int reference, string type, JsonArray names)
        {
            var isCim = type.StartsWith("Msvm_") || type.StartsWith("MSFT_");
            var of = isCim ? typeof(Microsoft.Management.Infrastructure.CimInstance) : typeof(Values).Assembly.GetType(type) ?? typeof(TwinObject);
            var twin = (TwinObject)Activator.CreateInstance(of);
            twin.Reference = reference;
            if (twin is Microsoft.Management.Infrastructure.CimInstance instance) instance.CimClass.CimSystemProperties.ClassName = type;
            var made = PSObject.AsPSObject(twin);
            // As PowerShell calls an instance of a class (about_Type_Accelerators has no word of it; seen on 5.1 and 7).
            if (isCim) made.TypeNames.Insert(0, of.FullName + (type.StartsWith("Msvm_") ? "#root/virtualization/v2/" : "#ROOT/Microsoft/Windows/Storage/") + type);
            else if (of == typeof(TwinObject)) made.TypeNames.Insert(0, type);
            foreach (var name in names) made.Properties.Add(new TwinProperty(twin, (string)name));
            return made;
        }

        // Ours come first: a PowerShell for Unix has some of the same names.
        internal static Type TypeNamed(string name) =>
            typeof(Values).Assembly.GetType(name) ?? AppDomain.CurrentDomain.GetAssemblies().Select(one => one.GetType(name)).FirstOrDefault(one => one != null);
    }
}

namespace Microsoft.Management.Infrastructure
{
    public class CimInstance : Warmsite.Mock.TwinObject
    {
        public CimClass CimClass { get; } = new CimClass();
    }

    // PowerShell adds CimClassName itself, from here (types.ps1xml).
    public class CimClass
    {
        public CimSystemProperties CimSystemProperties { get; } = new CimSystemProperties();
    }

    public class CimSystemProperties
    {
        public string ClassName { get; internal set; }
    }

    // Cmdlets take one, and nobody here has one.
    public class CimSession { }
}
